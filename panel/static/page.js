// The page /panel: the component by itself. The address names what it shows, so that it can be sent to someone; a token
// may stand behind the #, which is never sent to the server.

import { fragment, onEvent, panelOf } from "./address.js";

const TEXTS = ["level", "process", "q"];
const SWITCHES = ["regex", "case", "only"];
const SHOWN = ["traceId", "launchId", "instanceId", "locale", "theme", "line"];

/** The token of this page's address, for another address: a # and the token, or nothing. */
function tokenFragment() {
  const token = fragment().get("token");
  return token ? `#${new URLSearchParams({ token })}` : "";
}

const query = new URLSearchParams(location.search);
const panel = panelOf((name) => query.get(name) ?? fragment().get(name));
panel.beginWith({
  ...Object.fromEntries(TEXTS.map((name) => [name, query.get(name) ?? ""])),
  ...Object.fromEntries(SWITCHES.map((name) => [name, query.get(name) === "1"])),
});

/** @param {string} traceId */
function showTrace(traceId) {
  history.pushState(null, "", `?traceId=${encodeURIComponent(traceId)}${tokenFragment()}`);
}

onEvent(panel, "trace-chosen", ({ traceId }) => showTrace(traceId));
addEventListener("popstate", () => location.reload());
onEvent(panel, "line-selected", ({ id }) => {
  const place = fragment();
  place.set("line", id);
  history.replaceState(null, "", `#${place}`);
});
onEvent(panel, "view", (view) => {
  const address = new URL(location.href);
  for (const name of TEXTS) setOrDelete(address.searchParams, name, view[name]);
  for (const name of SWITCHES) setOrDelete(address.searchParams, name, view[name] && view.q ? "1" : "");
  history.replaceState(null, "", address);
});
onEvent(panel, "state", ({ launch, state }) => {
  document.title = `${launch.modelName} · ${state} · tracetail`;
});
// The keys work at once; a reader who has gone elsewhere in the page meanwhile stays there.
onEvent(panel, "ready", () => {
  if (document.activeElement === document.body) panel.focus();
});
panel.home = `/panel${tokenFragment()}`;

/**
 * @param {URLSearchParams} parameters
 * @param {string} name
 * @param {string} value
 */
function setOrDelete(parameters, name, value) {
  if (value) parameters.set(name, value);
  else parameters.delete(name);
}

const known = [...SHOWN, ...TEXTS, ...SWITCHES];
panel.unknownParameters = [...query.keys()].filter((name) => !known.includes(name));

document.body.append(panel);
