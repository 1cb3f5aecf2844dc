// /panel: the component in a page of its own. What it shows stands in the address, so that it can be sent to someone;
// a token may stand behind the #, which is never sent to the server.

import "./component/element.js";

const panel = document.createElement("tracetail-panel");
const query = new URLSearchParams(location.search);
const fragment = new URLSearchParams(location.hash.slice(1));

panel.token = fragment.get("token") ?? "";
for (const [parameter, attribute] of [
  ["traceId", "trace-id"],
  ["launchId", "launch-id"],
  ["locale", "locale"],
  ["theme", "theme"],
  ["line", "line"],
]) {
  const value = query.get(parameter) ?? fragment.get(parameter);
  if (value) panel.setAttribute(attribute, value);
}

panel.addEventListener("trace-chosen", (event) => {
  history.pushState(null, "", `?traceId=${encodeURIComponent(event.detail.traceId)}`);
});
addEventListener("popstate", () => location.reload());
panel.addEventListener("line-selected", (event) => {
  const place = new URLSearchParams(location.hash.slice(1));
  place.set("line", event.detail.id);
  history.replaceState(null, "", `#${place}`);
});
panel.addEventListener("state", (event) => {
  document.title = `${event.detail.launch.modelName} · ${event.detail.state} · tracetail`;
});

document.body.append(panel);
