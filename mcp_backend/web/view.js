// A view of MCP Apps (SEP-1865): asks the host for the page of the result it is shown beside. It calls no tool.
const host = window.parent, main = document.querySelector("main"), waiting = new Map();
let number = 0, served = false, shown = 0;
const say = (message) => host.postMessage({ jsonrpc: "2.0", ...message }, "*");
const ask = (method, params) => new Promise((done, failed) => {
  waiting.set(++number, { done, failed });
  say({ id: number, method, params });
});
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
const made = (tag, ...inside) => {
  const element = document.createElement(tag);
  element.append(...inside);
  return element;
};
// Any JSON as lists, definitions and paragraphs: where a host reads no resources for its views.
const told = (value) => {
  if (Array.isArray(value)) return made("ul", ...value.map((item) => made("li", told(item))));
  if (value && typeof value === "object")
    return made("dl", ...Object.entries(value).flatMap(([name, inner]) =>
      [made("dt", plain(name.replaceAll("_", " "))), made("dd", told(inner))]));
  return made("p", plain(String(value)));
};
const plain = (text) => text.replace(UNSEEN, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);

const show = async (result) => {
  const mine = ++shown, found = result.structuredContent ?? {};
  const id = found.id ?? found.error?.escalation;
  const uri = found.report ? `${found.report.resource}/page` : id ? `escalation://${id}/page` : "";
  main.replaceChildren(told(found.error ?? found));
  if (!served || !uri) return;
  const read = await ask("resources/read", { uri }).catch(() => null);
  const drawn = new DOMParser().parseFromString(read?.contents?.[0]?.text ?? "", "text/html").querySelector("main");
  if (drawn && mine === shown) main.replaceChildren(...drawn.childNodes);
};
const dark = [...document.styleSheets[0].cssRules].filter((rule) => rule.media?.mediaText.includes("dark"));
const dress = (context) => {
  if (!context?.theme) return;
  document.documentElement.style.colorScheme = context.theme;
  for (const rule of dark) rule.media.mediaText = context.theme === "dark" ? "all" : "not all";
};
const heard = {
  "ui/notifications/tool-result": show,
  "ui/notifications/tool-cancelled": () => main.replaceChildren(made("p", "The call was cancelled.")),
  "ui/notifications/host-context-changed": dress,
};
window.addEventListener("message", ({ source, data }) => {
  if (source !== host || data?.jsonrpc !== "2.0") return;
  if (!data.method) {
    const answer = waiting.get(data.id);
    waiting.delete(data.id);
    if (answer) data.error ? answer.failed(data.error) : answer.done(data.result);
  } else if (data.id === undefined) heard[data.method]?.(data.params ?? {});
  else if (["ping", "ui/resource-teardown"].includes(data.method)) say({ id: data.id, result: {} });
  else say({ id: data.id, error: { code: -32601, message: "Method not found" } });
});
new ResizeObserver(() => say({ method: "ui/notifications/size-changed", params: {
  width: window.innerWidth, height: Math.ceil(document.documentElement.getBoundingClientRect().height) } }))
  .observe(document.documentElement);
ask("ui/initialize", { protocolVersion: "2026-01-26", appInfo: { name: "mcp-backend", version: "1" },
  appCapabilities: { availableDisplayModes: ["inline", "fullscreen"] } }).then((found) => {
  served = Boolean(found?.hostCapabilities?.serverResources);
  dress(found?.hostContext);
  say({ method: "ui/notifications/initialized" });
});
