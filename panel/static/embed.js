// /embed#…: the component in a frame, spoken with by postMessage. Its settings stand behind the #; the page around may
// send a token and commands, and is told what happens. Only pages of the configured origins can frame this one
// (frame-ancestors), and only the page that frames it is listened to.

import "./component/element.js";

const PREFIX = "tracetail:";
const EVENTS = ["ready", "token-needed", "state", "phase", "first-error", "line-selected", "gap"];

const panel = document.createElement("tracetail-panel");
const settings = new URLSearchParams(location.hash.slice(1));
// With `origin` in the fragment messages go to that page alone; without, they hold nothing of a log but ids and states.
const origin = settings.get("origin") ?? "*";

function send(name, detail) {
  if (parent === window) return;
  const told = origin === "*" ? withoutText(detail) : detail;
  parent.postMessage({ type: PREFIX + name, detail: told }, origin);
}

function withoutText(detail) {
  const { text: _text, launch: _launch, ...told } = detail ?? {};
  return told;
}

for (const [parameter, attribute] of [
  ["traceId", "trace-id"],
  ["launchId", "launch-id"],
  ["locale", "locale"],
  ["theme", "theme"],
  ["line", "line"],
]) {
  if (settings.get(parameter)) panel.setAttribute(attribute, settings.get(parameter));
}
panel.token = settings.get("token") ?? "";
for (const name of EVENTS) panel.addEventListener(name, (event) => send(name, event.detail));

const commands = {
  token: (value) => { panel.token = String(value); },
  seek: (value) => panel.seek(String(value)),
  filter: (value) => panel.setFilter({ level: String(value?.level ?? ""), process: String(value?.process ?? "") }),
  follow: () => panel.follow(),
  theme: (value) => { panel.theme = String(value); },
  locale: (value) => { panel.locale = String(value); },
  trace: (value) => { panel.traceId = String(value); },
};

addEventListener("message", (event) => {
  if (event.source !== parent || (origin !== "*" && event.origin !== origin)) return;
  const type = event.data?.type;
  if (typeof type !== "string" || !type.startsWith(PREFIX)) return;
  const name = type.slice(PREFIX.length);
  if (Object.hasOwn(commands, name)) commands[name](event.data.value);
});

document.body.append(panel);
send("loaded", {});
