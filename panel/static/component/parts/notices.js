// What is shown in place of a log: why there is none, which ones there are, how to get a token.

/** @import { Launch, Messages, Zone } from "../types.js" */

import { dayAndTime } from "../log/format.js";
import { element } from "./dom.js";
import { stateElement } from "./state.js";

/**
 * @param {Messages} t
 * @param {string} traceId
 */
export function emptyNotice(t, traceId) {
  return [
    element("h2", {}, t.empty(traceId)),
    element("p", {}, t.emptyMeans),
    element("ul", {}, ...t.emptyChecks.map((check) => element("li", {}, ...withCode(check)))),
  ];
}

/**
 * @param {Messages} t
 * @param {{code: string, message: string}} error
 */
export function failureNotice(t, { code, message }) {
  return [element("h2", {}, code === "loki_unavailable" ? t.lokiDown : t.error), element("p", {}, message)];
}

/**
 * The recent launches to choose from.
 * @param {Messages} t
 * @param {Launch[]} launches
 * @param {Zone} zone
 * @param {(traceId: string) => void} choose
 */
export function launchesNotice(t, launches, zone, choose) {
  const items = launches.map((launch) => element("li", {}, launchLink(t, launch, zone, choose)));
  return [
    element("h2", {}, t.recent),
    items.length ? element("ul", { class: "choices" }, ...items) : element("p", {}, t.noLaunches),
  ];
}

/**
 * @param {Messages} t
 * @param {Launch} launch
 * @param {Zone} zone
 * @param {(traceId: string) => void} choose
 */
function launchLink(t, launch, zone, choose) {
  /** @param {MouseEvent} event */
  const chosen = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // in another tab
    event.preventDefault();
    choose(launch.traceId);
  };
  return element("a", { href: `?traceId=${encodeURIComponent(launch.traceId)}`, onclick: chosen },
    stateElement(t, launch.state),
    element("span", { class: "title" }, launch.modelName),
    element("time", {}, launch.startedAt ? dayAndTime(launch.startedAt, zone) : ""),
    launch.exit?.cause ? element("span", { class: "why" }, launch.exit.cause) : null,
    element("small", {}, `${launch.launchId} · ${launch.host} · ${launch.traceId}`));
}

/**
 * Why a token is needed, and a field for one.
 * @param {Messages} t
 * @param {string} code
 * @param {(token: string) => void} use
 */
export function tokenNotice(t, code, use) {
  /** @type {Record<string, string>} */
  const reasons = { token_expired: t.tokenExpired, token_missing: t.tokenNeeded };
  const input = element("input", { type: "password", autocomplete: "off", "aria-label": t.tokenNeeded });
  /** @param {Event} event */
  const submitted = (event) => {
    event.preventDefault();
    use(input.value.trim());
  };
  const form = element("form", { onsubmit: submitted }, input, element("button", { type: "submit" }, t.useToken));
  return [element("h2", {}, reasons[code] ?? t.tokenRefused), element("p", {}, ...withCode(t.tokenMeans)), form];
}

/**
 * A text with `code` in it, as nodes.
 * @param {string} text
 */
function withCode(text) {
  return text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
}
