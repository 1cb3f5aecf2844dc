// What is shown in place of a log: why there is none, how to get a token.

/** @import { Messages } from "../types.js" */

import { element } from "./dom.js";

/**
 * @param {Messages} t
 * @param {string} traceId
 * @param {string} home the address of the list of launches; "" for none
 */
export function emptyNotice(t, traceId, home) {
  return [
    element("h2", {}, t.empty(traceId)),
    element("p", {}, t.emptyMeans),
    element("ul", {}, ...t.emptyChecks.map((check) => element("li", {}, ...withCode(check)))),
    ...wayOut(t, home),
  ];
}

/**
 * @param {Messages} t
 * @param {{code: string, message: string}} error
 * @param {string} panel the panel's address
 * @param {string} home the address of the list of launches; "" for none
 */
export function failureNotice(t, { code, message }, panel, home) {
  if (code === "no_answer") return [element("h2", {}, t.noAnswer), element("p", {}, ...withCode(t.noAnswerMeans(panel)))];
  if (code === "page_refused") {
    return [element("h2", {}, t.pageRefused), element("p", {}, ...withCode(t.pageRefusedMeans(panel, location.origin)))];
  }
  /** @type {Record<string, string>} */
  const reasons = { loki_unavailable: t.lokiDown, not_found: t.notFound, bad_parameter: t.badAddress, ambiguous: t.badAddress };
  return [element("h2", {}, reasons[code] ?? t.error), element("p", {}, message), ...wayOut(t, home)];
}

/**
 * Why a token is needed, and a field for one.
 * @param {Messages} t
 * @param {string} code
 * @param {string} log the log that is to be read, as `tracetail open` takes it; "" for the list
 * @param {(token: string) => void} use
 */
export function tokenNotice(t, code, log, use) {
  /** @type {Record<string, string>} */
  const reasons = { token_expired: t.tokenExpired, token_missing: t.tokenNeeded };
  const input = element("input", { type: "password", autocomplete: "off", "aria-label": t.tokenNeeded });
  /** @param {Event} event */
  const submitted = (event) => {
    event.preventDefault();
    use(input.value.trim());
  };
  const form = element("form", { onsubmit: submitted }, input, element("button", { type: "submit" }, t.useToken));
  return [element("h2", {}, reasons[code] ?? t.tokenRefused), element("p", {}, ...withCode(t.tokenMeans(log))), form];
}

/**
 * A link to the list, for whoever has come to a log that is not there.
 * @param {Messages} t
 * @param {string} home
 */
function wayOut(t, home) {
  return home ? [element("p", { class: "way-out" }, element("a", { href: home }, t.recent))] : [];
}

/**
 * A text with `code` in it, as nodes.
 * @param {string} text
 */
export function withCode(text) {
  return text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
}
