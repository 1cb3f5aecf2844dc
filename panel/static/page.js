// The page /panel: the component by itself. The address names what it shows, so that it can be sent to someone; a token
// may stand behind the #, which is never sent to the server.

import { fragment, onEvent, panelOf } from "./address.js";

const query = new URLSearchParams(location.search);
/** The token of this page's address, for another address: a # and the token, or nothing. */
function tokenFragment() {
  const token = fragment().get("token");
  return token ? `#${new URLSearchParams({ token })}` : "";
}

const panel = panelOf((name) => query.get(name) ?? fragment().get(name));

onEvent(panel, "trace-chosen", ({ traceId }) => {
  history.pushState(null, "", `?traceId=${encodeURIComponent(traceId)}${tokenFragment()}`);
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

// The keys work at once; a reader who has gone elsewhere in the page meanwhile stays there.
onEvent(panel, "ready", () => {
  if (document.activeElement === document.body) panel.focus();
});
panel.home = `/panel${tokenFragment()}`;

document.body.append(panel);
