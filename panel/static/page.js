// The page /panel: the component by itself. The address names what it shows, so that it can be sent to someone; a token
// may stand behind the #, which is never sent to the server.

import { fragment, onEvent, panelOf } from "./address.js";

const query = new URLSearchParams(location.search);
const panel = panelOf((name) => query.get(name) ?? fragment().get(name));

onEvent(panel, "trace-chosen", ({ traceId }) => {
  history.pushState(null, "", `?traceId=${encodeURIComponent(traceId)}`);
});
addEventListener("popstate", () => location.reload());
onEvent(panel, "line-selected", ({ id }) => {
  const place = fragment();
  place.set("line", id);
  history.replaceState(null, "", `#${place}`);
});
onEvent(panel, "state", ({ launch, state }) => {
  document.title = `${launch.modelName} · ${state} · tracetail`;
});

document.body.append(panel);
