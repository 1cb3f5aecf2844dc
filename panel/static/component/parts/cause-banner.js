// The banner of a launch that failed: why it ended, the line that says so, what to do, and the ways from there.

/** @import { Comparison, Exit, Launch, Messages, Zone } from "../types.js" */

import { errorText } from "../log/errors.js";
import { phaseName, stateName } from "../log/events.js";
import { dayAndTime } from "../log/format.js";
import { differenceSummary } from "./comparison.js";
import { element } from "./dom.js";

export class CauseBanner {
  #text;
  #zone;
  #on;

  /**
   * @param {Messages} t
   * @param {() => Zone} zone
   * @param {object} on
   * @param {(exit: Exit, launch: Launch) => void} on.cause show the line
   * @param {(step: "next" | "previous") => void} on.error
   * @param {() => void} on.errors list all by groups
   * @param {(exit: Exit, launch: Launch) => void} on.ticket copy what a ticket needs
   * @param {() => void} on.compare show what differs from the last time that it was ready
   */
  constructor(t, zone, on) {
    this.#text = t;
    this.#zone = zone;
    this.#on = on;
    this.before = element("span", { class: "before", hidden: true });
    this.element = element("div", { class: "cause", role: "alert", hidden: true });
  }

  /** @param {Launch | undefined} launch */
  show(launch) {
    const exit = launch && endOf(launch);
    this.element.hidden = !exit;
    if (!launch || !exit) return;
    const t = this.#text;
    /** @type {(label: string, act: () => void) => HTMLElement} */
    const button = (label, act) => element("button", { type: "button", onclick: act }, label);
    const evidence = evidenceOf(exit);
    const { cause, hint } = t.exitText(exit);
    this.element.replaceChildren(
      element("b", {}, cause || stateName(t, launch.state)),
      ...(exit.causeCode ? [element("code", { class: "code", title: t.causeCode }, exit.causeCode)] : []),
      element("span", { class: "how" }, howItEnded(t, exit, launch).join(" · ")),
      ...(evidence && evidence !== exit.cause ? [element("code", { class: "evidence", title: evidence }, errorText(evidence))] : []),
      ...(hint ? [element("span", { class: "hint" }, hint)] : []),
      element("span", { class: "ways" },
        button(t.showLine, () => this.#on.cause(exit, launch)),
        button(t.previousError, () => this.#on.error("previous")),
        button(t.nextError, () => this.#on.error("next")),
        button(t.errorGroups, () => this.#on.errors()),
        button(t.copyTicket, () => this.#on.ticket(exit, launch))),
      this.before,
    );
  }

  /** @param {Comparison | null} comparison with the last launch of the service that was ready */
  showComparison(comparison) {
    const t = this.#text;
    const startedAt = comparison?.other?.startedAt;
    this.before.hidden = !comparison || !startedAt;
    if (!comparison || !startedAt) return;
    this.before.replaceChildren(
      `${t.wasReady(dayAndTime(startedAt, this.#zone()))} ${differenceSummary(t, comparison)} `,
      element("button", { type: "button", onclick: () => this.#on.compare() }, t.compareShort));
  }
}

/**
 * How a launch ended, or why it is unhealthy, if that is something to explain.
 * @param {Launch} launch
 * @returns {Exit | undefined}
 */
export function endOf({ exit, health, state }) {
  if (health) return health;
  return exit && (exit.cause || state === "failed" || state === "crashed") ? exit : undefined;
}

/** @param {Exit} exit */
export function evidenceOf(exit) {
  return (exit.evidence ?? []).map((line) => line.trim()).find(Boolean) ?? "";
}

/**
 * Exit status, signal, and the phase of the start-up in which the launch ended.
 * @param {Messages} t
 * @param {Exit} exit
 * @param {Launch} launch
 */
export function howItEnded(t, exit, launch) {
  const phase = launch.state === "failed" ? launch.phases[launch.phases.length - 1]?.name : undefined;
  return [
    exit.exitCode !== undefined ? `${t.exitCode} ${exit.exitCode}` : "",
    exit.signal ? `${t.signal} ${exit.signal}` : "",
    phase ? t.afterPhase(phaseName(t, phase)) : "",
  ].filter(Boolean);
}
