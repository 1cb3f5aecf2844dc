// The last starts of a model: a bar for each, of its phases, and below all of it as a table.

/** @import { Launch, Messages, Start, Zone } from "../types.js" */

import { phaseName, stateName } from "../log/events.js";
import { dayAndTime, duration } from "../log/format.js";
import { milliseconds } from "../log/line-key.js";
import { element } from "./dom.js";
import { phaseColor } from "./launch-header.js";
import { isEnded, shownState, stateElement } from "./state.js";

/** A failed start is drawn no higher than so much of the longest one that became ready. */
const FAILED_SHARE = 1.25;
const REST = "";

/**
 * A start as it is drawn: the seconds of its phases by name, and those that no phase has, under REST.
 * @typedef {{start: Start, seconds: Map<string, number>, total: number, isReady: boolean, version: string}} Bar
 */

/**
 * @param {Messages} t
 * @param {object} options
 * @param {Start[]} options.starts the newest first
 * @param {Launch} options.launch of which the starts are asked for
 * @param {Zone} options.zone
 * @param {(traceId: string, launchId: string) => string} options.addressOf
 * @param {(traceId: string, launchId: string) => void} options.open
 * @param {() => void} options.close
 */
export function startHistoryBox(t, { starts, launch, zone, addressOf, open, close }) {
  const bars = starts.map(barOf);
  const phases = [...new Set(bars.flatMap(({ seconds }) => [...seconds.keys()]))].filter((name) => name !== REST);
  const first = element("button", { type: "button", onclick: close }, t.close);
  /** @type {(start: Launch) => HTMLElement} */
  const link = ({ traceId, launchId, startedAt = "" }) => {
    /** @param {MouseEvent} event */
    const chosen = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return; // in another tab
      event.preventDefault();
      open(traceId, launchId);
    };
    return element("a", { href: addressOf(traceId, launchId), onclick: chosen }, startedAt ? dayAndTime(startedAt, zone) : launchId);
  };
  const box = element("div", { class: "help starts", role: "dialog", "aria-modal": "true", "aria-label": t.startHistory, tabindex: "-1" },
    element("h2", {}, t.startHistory),
    element("p", { class: "of" }, [launch.modelName, launch.env, launch.engine].filter(Boolean).join(" · ")),
    ...(bars.length ? [legend(t, phases), plot(t, bars, phases), table(t, bars, phases, link)] : [element("p", {}, t.noStarts)]),
    first);
  box.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Escape") {
      event.preventDefault();
      close();
    }
  });
  return { box, first };
}

/**
 * @param {Start} start
 * @returns {Bar}
 */
function barOf(start) {
  const { phases, readySeconds, startedAt, endedAt, versions = {}, image = "" } = start.launch;
  /** @type {Map<string, number>} */
  const seconds = new Map();
  for (const phase of phases) seconds.set(phase.name, (seconds.get(phase.name) ?? 0) + (phase.seconds ?? 0));
  const ofPhases = [...seconds.values()].reduce((sum, each) => sum + each, 0);
  const isReady = readySeconds !== undefined && readySeconds !== null;
  const lasted = startedAt && endedAt ? (milliseconds(endedAt) - milliseconds(startedAt)) / 1000 : ofPhases;
  const total = Math.max(isReady ? readySeconds : lasted, ofPhases);
  seconds.set(REST, total - ofPhases);
  return { start, seconds, total, isReady, version: Object.values(versions)[0] ?? image.split(":").pop() ?? "" };
}

/**
 * @param {Messages} t
 * @param {string[]} phases
 */
function legend(t, phases) {
  const names = [...phases.map((name) => phaseName(t, name)), t.otherTime];
  return element("ul", { class: "legend" },
    ...names.map((name, index) => element("li", {}, swatch(index < phases.length ? index : -1), name)),
    element("li", {}, element("b", { class: "mark" }, "✕"), t.state.failed));
}

/** @param {number} index of a phase; -1: of the time that no phase has */
function swatch(index) {
  const made = element("span", { class: "tag" });
  made.style.setProperty("--tag", phaseColor(index));
  return made;
}

/**
 * @param {Messages} t
 * @param {Bar[]} bars the newest first
 * @param {string[]} phases
 */
function plot(t, bars, phases) {
  const ready = bars.filter(({ isReady }) => isReady).map(({ total }) => total);
  const longest = Math.max(...bars.map(({ total }) => total));
  const top = (ready.length ? Math.min(longest, Math.max(...ready) * FAILED_SHARE) : longest) || 1;
  const columns = [...bars].reverse().map((bar, index, all) => column(t, bar, {
    top, phases, version: bar.version === all[index - 1]?.version ? "" : bar.version,
  }));
  return element("div", { class: "plot", role: "img", "aria-label": t.startPlot(bars.length) },
    element("span", { class: "top" }, duration(top)), ...columns);
}

/**
 * @param {Messages} t
 * @param {Bar} bar
 * @param {object} options
 * @param {number} options.top the seconds that the plot is high
 * @param {string[]} options.phases
 * @param {string} options.version below the bar, where it is another one than before
 */
function column(t, { start, seconds, total, isReady, version }, { top, phases, version: shown }) {
  const parts = [...phases, REST].map((name, index) => {
    const part = element("span", { class: name === REST && !isReady ? "part failed" : "part" });
    part.style.height = `${(100 * (seconds.get(name) ?? 0)) / Math.max(total, top)}%`;
    part.style.background = name === REST ? "" : phaseColor(index);
    return part;
  });
  const { launch, slower } = start;
  const mark = isReady ? (slower ? "!" : "") : isEnded(launch.state) ? "✕" : "…";
  const title = [launch.launchId, version, stateName(t, shownState(launch)), duration(total)].filter(Boolean).join(" · ");
  return element("span", { class: "column", title },
    element("span", { class: "bar" }, ...parts.reverse()),
    element("b", { class: "mark" }, mark),
    element("span", { class: "version" }, shown));
}

/**
 * @param {Messages} t
 * @param {Bar[]} bars
 * @param {string[]} phases
 * @param {(launch: Launch) => HTMLElement} link
 */
function table(t, bars, phases, link) {
  const names = [t.startedAt, t.host, t.versions, t.stateColumn, t.readyIn, t.changed, ...phases.map((name) => phaseName(t, name))];
  const rows = bars.map(({ start: { launch, change, slower }, seconds, isReady, version }) => element("tr", {},
    element("th", { scope: "row" }, link(launch)),
    element("td", {}, launch.host),
    element("td", {}, version),
    element("td", {}, stateElement(t, shownState(launch))),
    element("td", {}, isReady ? duration(launch.readySeconds) : ""),
    element("td", { class: slower ? "slower" : "" }, change === undefined ? "" : t.change(change, slower ?? false)),
    ...phases.map((name) => element("td", {}, duration(seconds.get(name))))));
  return element("div", { class: "numbers", role: "region", "aria-label": t.startNumbers, tabindex: "0" },
    element("table", {},
      element("thead", {}, element("tr", {}, ...names.map((name) => element("th", { scope: "col" }, name)))),
      element("tbody", {}, ...rows)));
}
