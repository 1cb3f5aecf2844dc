// What stands in place of a log: why there is none, which ones there are, how to get a token.

import { element } from "./dom.js";
import { dayAndTime } from "./format.js";
import { stateElement } from "./launches.js";

export function emptyNotice(t, traceId) {
  return [
    element("h2", {}, t.empty(traceId)),
    element("p", {}, t.emptyMeans),
    element("ul", {}, ...t.emptyChecks.map((check) => element("li", {}, ...withCode(check)))),
  ];
}

export function failureNotice(t, error) {
  const heading = error.code === "loki_unavailable" ? t.lokiDown : t.error;
  return [element("h2", {}, heading), element("p", {}, error.message)];
}

/** The recent launches to choose from; choose(traceId). */
export function launchesNotice(t, launches, zone, choose) {
  const items = launches.map((launch) =>
    element("li", {}, element("a", {
      href: `?traceId=${encodeURIComponent(launch.traceId)}`,
      onclick: (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        choose(launch.traceId);
      },
    },
    stateElement(t, launch.state),
    element("span", { class: "title" }, launch.modelName),
    element("time", {}, launch.startedAt ? dayAndTime(launch.startedAt, zone) : ""),
    launch.exit?.cause ? element("span", { class: "why" }, launch.exit.cause) : null,
    element("small", {}, `${launch.launchId} · ${launch.host} · ${launch.traceId}`))));
  return [
    element("h2", {}, t.recent),
    items.length ? element("ul", { class: "choices" }, ...items) : element("p", {}, t.noLaunches),
  ];
}

/** Why a token is needed, and a field for one; use(token). */
export function tokenNotice(t, code, use) {
  const told = { token_expired: t.tokenExpired, token_missing: t.tokenNeeded }[code] ?? t.tokenRefused;
  const input = element("input", { type: "password", autocomplete: "off", "aria-label": t.tokenNeeded });
  const form = element("form", { onsubmit: (event) => { event.preventDefault(); use(input.value.trim()); } },
    input, element("button", { type: "submit" }, t.useToken));
  return [element("h2", {}, told), element("p", {}, ...withCode(t.tokenMeans)), form];
}

/** Text with `code` in it, as nodes. */
function withCode(text) {
  return text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
}
