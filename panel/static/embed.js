// The frame, /embed#…: the component, which takes commands from the page around and sends it events (postMessage). Only
// pages of the configured origins can frame it (frame-ancestors); messages of other pages are ignored.

import { fragment, onEvent, panelOf } from "./address.js";

const PREFIX = "tracetail:";
const EVENTS = ["ready", "token-needed", "state", "phase", "first-error", "line-selected", "gap", "view", "list-view", "trace-chosen"];

const panel = panelOf((name) => fragment().get(name));
// With `origin` in the fragment messages go to that page alone; without, they carry ids and states, but no text of a log.
const origin = fragment().get("origin") ?? "*";

/**
 * @param {string} name
 * @param {Record<string, unknown>} detail
 */
function send(name, detail) {
  if (parent === window) return;
  parent.postMessage({ type: PREFIX + name, detail: origin === "*" ? withoutText(detail) : detail }, origin);
}

/** @param {Record<string, unknown>} detail */
function withoutText(detail) {
  const { text: _text, launch: _launch, ...others } = detail;
  return others;
}

for (const name of EVENTS) onEvent(panel, name, (detail) => send(name, detail));

/** @type {Record<string, (value: any) => void>} */
const COMMANDS = {
  token: (value) => { panel.token = String(value); },
  seek: (value) => void panel.seek(String(value)),
  filter: (value) => void panel.setFilter({
    level: String(value?.level ?? ""), process: String(value?.process ?? ""), requestId: String(value?.requestId ?? ""),
  }),
  follow: () => void panel.follow(),
  theme: (value) => { panel.theme = String(value); },
  locale: (value) => { panel.locale = String(value); },
  trace: (value) => { panel.traceId = String(value); },
};

addEventListener("message", (event) => {
  if (event.source !== parent || (origin !== "*" && event.origin !== origin)) return;
  const type = event.data?.type;
  if (typeof type !== "string" || !type.startsWith(PREFIX)) return;
  const name = type.slice(PREFIX.length);
  if (Object.hasOwn(COMMANDS, name)) COMMANDS[name](event.data.value);
});

document.querySelector("main")?.append(panel);
send("loaded", {});
