// The state of a launch as a word with a dot.

/** @import { Launch, Messages } from "../types.js" */

import { stateName } from "../log/events.js";
import { milliseconds } from "../log/line-key.js";
import { element } from "./dom.js";

/** A state of its own for the reader: the launch has not ended, but nothing is heard of its machine. */
const LOST = "lost";

/** @param {Launch} launch */
export function shownState(launch) {
  return launch.lostContact ? LOST : launch.state;
}

/**
 * @param {Messages} t
 * @param {string} state
 */
export function stateElement(t, state) {
  const dot = element("span", { class: "dot" });
  return element("span", { class: "state", "data-state": state, role: "status" }, dot, stateName(t, state));
}

/**
 * When the machine of a launch was last heard of, as a text; "" for one that has ended, or of which that is not known.
 * @param {Messages} t
 * @param {Launch} launch
 */
export function lastHeard(t, { lastHeardAt }) {
  return lastHeardAt ? t.lastHeard(Math.max(0, (Date.now() - milliseconds(lastHeardAt)) / 1000)) : "";
}

/**
 * Whether a launch in this state prints no more lines.
 * @param {string} state
 */
export function isEnded(state) {
  return state === "failed" || state === "crashed" || state === "stopped";
}
