// Reloads a page that only shows things when the store changes; a form somebody types in is left alone.
const changes = new EventSource("/changes");
changes.addEventListener("change", () => {
  const typing = [...document.querySelectorAll("textarea, input:not([type=hidden])")].some((field) => field.value);
  if (!typing) location.reload();
  else document.getElementById("moved").hidden = false;
});
