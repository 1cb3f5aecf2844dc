// The page /panel: the component by itself. The address names what it shows, so that it can be sent to someone; a token
// may stand behind the #, which is never sent to the server.

import { fragment, onEvent, panelOf } from "./address.js";

const TEXTS = ["level", "process", "requestId", "q", "from", "to"];
const SWITCHES = ["regex", "case", "only"];
const LIST = ["q", "state", "modelName", "engine", "env", "host", "hours", "since", "until", "through"];
const LOOKS = ["locale", "theme"];
const SHOWN = ["traceId", "launchId", "instanceId", "line", ...LOOKS];

/** The token of this page's address, for another address: a # and the token, or nothing. */
function tokenFragment() {
  const token = fragment().get("token");
  return token ? `#${new URLSearchParams({ token })}` : "";
}

const query = new URLSearchParams(location.search);
const panel = panelOf((name) => query.get(name) ?? fragment().get(name));
let isList = !panel.traceId && !panel.launchId && !panel.instanceId;
if (isList) panel.listWith({ ...textsOf(LIST), chosen: history.state?.chosen ?? "" });
else {
  const switches = Object.fromEntries(SWITCHES.map((name) => [name, query.get(name) === "1"]));
  panel.beginWith({ ...textsOf(TEXTS), ...switches });
}

/**
 * The values of these parameters; "" for those that are not there.
 * @param {string[]} names
 */
function textsOf(names) {
  return Object.fromEntries(names.map((name) => [name, query.get(name) ?? ""]));
}

function hereWithToken() {
  return `${location.pathname}${location.search}${tokenFragment()}`;
}

/**
 * Another address of this page, in the language and theme of this one.
 * @param {Record<string, string>} parameters
 */
function addressWith(parameters) {
  const looks = LOOKS.filter((name) => panel.getAttribute(name)).map((name) => [name, panel.getAttribute(name) ?? ""]);
  const search = new URLSearchParams([...Object.entries(parameters), ...looks]).toString();
  return `${location.pathname}${search && `?${search}`}${tokenFragment()}`;
}

panel.addressOf = (/** @type {string} */ traceId, /** @type {string} */ launchId = "") => addressWith({ traceId, ...(launchId && { launchId }) });
// The way back from a log leads to the list as it was.
panel.home = isList ? hereWithToken() : history.state?.list ?? addressWith({});
onEvent(panel, "trace-chosen", ({ traceId, launchId }) => {
  if (isList) history.replaceState({ chosen: traceId }, "");
  isList = false;
  history.pushState({ list: panel.home }, "", panel.addressOf(traceId, launchId));
});
onEvent(panel, "list-view", ({ isStep, ...view }) => {
  const address = new URL(location.href);
  for (const name of LIST) setOrDelete(address.searchParams, name, view[name]);
  if (isStep) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
  panel.home = hereWithToken();
});
addEventListener("popstate", () => location.reload());
onEvent(panel, "line-selected", ({ id }) => {
  const place = fragment();
  place.set("line", id);
  history.replaceState(history.state, "", `#${place}`);
});
onEvent(panel, "view", (view) => {
  const address = new URL(location.href);
  for (const name of TEXTS) setOrDelete(address.searchParams, name, view[name]);
  for (const name of SWITCHES) setOrDelete(address.searchParams, name, view[name] && view.q ? "1" : "");
  history.replaceState(history.state, "", address);
});
onEvent(panel, "state", ({ launch, state }) => {
  document.title = `${launch.modelName} · ${state} · tracetail`;
});
// The keys work at once; a reader who has gone elsewhere in the page meanwhile stays there.
onEvent(panel, "ready", () => {
  if (document.activeElement === document.body) panel.focus();
});

// Another language or theme is in the address, and in that of the way back.
new MutationObserver(() => {
  panel.home = withLooks(panel.home);
  const state = history.state?.list ? { ...history.state, list: panel.home } : history.state;
  history.replaceState(state, "", withLooks(location.href));
}).observe(panel, { attributeFilter: LOOKS });

/** @param {string} address an address of this page */
function withLooks(address) {
  const found = new URL(address, location.href);
  for (const name of LOOKS) setOrDelete(found.searchParams, name, panel.getAttribute(name) ?? "");
  return found.href;
}

/**
 * @param {URLSearchParams} parameters
 * @param {string} name
 * @param {string} value
 */
function setOrDelete(parameters, name, value) {
  if (value) parameters.set(name, value);
  else parameters.delete(name);
}

const known = [...SHOWN, ...(isList ? LIST : [...TEXTS, ...SWITCHES])];
panel.unknownParameters = [...query.keys()].filter((name) => !known.includes(name));

document.querySelector("main")?.append(panel);
