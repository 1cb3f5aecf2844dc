// The state of a launch as a word with a dot.

/** @import { Messages } from "../types.js" */

import { element } from "./dom.js";

/**
 * @param {Messages} t
 * @param {string} state
 */
export function stateElement(t, state) {
  const dot = element("span", { class: "dot" });
  return element("span", { class: "state", "data-state": state, role: "status" }, dot, stateName(t, state));
}

/**
 * @param {Messages} t
 * @param {string} state
 */
export function stateName(t, state) {
  /** @type {Record<string, string>} */
  const names = t.state;
  return names[state] ?? state;
}

/**
 * Whether a launch in this state prints no more lines.
 * @param {string} state
 */
export function isEnded(state) {
  return state === "failed" || state === "crashed" || state === "stopped";
}
