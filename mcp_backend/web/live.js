// Reloads a page that only shows things when the store changes; a form somebody has begun is left alone.
const begun = (field) =>
  field.type === "radio" ? field.checked !== field.defaultChecked
  : field.tagName === "SELECT" ? field.selectedIndex > 0
  : field.type !== "hidden" && field.value !== field.defaultValue;
const changes = new EventSource(`/changes?since=${encodeURIComponent(document.currentScript.dataset.mark)}`);
changes.addEventListener("change", () => {
  if (![...document.querySelectorAll("textarea, input, select")].some(begun)) location.reload();
  else document.getElementById("moved").hidden = false;
});
