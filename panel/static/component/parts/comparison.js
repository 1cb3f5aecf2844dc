// A failed launch beside the last time that its service was ready: a sentence for the banner, and the list of all that
// differs.

/** @import { Comparison, Difference, Messages, PhaseDifference, Zone } from "../types.js" */

import { phaseName } from "../log/events.js";
import { dayAndTime, duration } from "../log/format.js";
import { element } from "./dom.js";

/**
 * How much differs, in a few words.
 * @param {Messages} t
 * @param {Comparison} comparison
 */
export function differenceSummary(t, { arguments: options = [], versions = [], places = [] }) {
  const parts = [
    options.length ? t.argumentsDiffer(options.length) : "",
    ...versions.map(({ name, launch, other }) => `${name} ${other ?? "–"} → ${launch ?? "–"}`),
    ...places.filter(({ name }) => name === "host" || name === "image").map(({ name }) => t.placeDiffers(t.placeNames[name])),
  ].filter(Boolean);
  return parts.length ? parts.join(", ") : t.nothingDiffers;
}

/**
 * @param {Messages} t
 * @param {object} options
 * @param {Comparison} options.comparison with another launch
 * @param {Zone} options.zone
 * @param {(traceId: string, launchId: string) => void} options.open
 * @param {() => void} options.close
 */
export function comparisonBox(t, { comparison, zone, open, close }) {
  const { launch, other, arguments: options = [], versions = [], places = [], phases = [] } = comparison;
  /** @param {string | undefined} time */
  const when = (time) => (time ? dayAndTime(time, zone) : "");
  /** @param {Difference} difference */
  const row = ({ name, launch: here, other: there }) => [name, sideText(t, here), sideText(t, there)];
  const rows = [
    ...section(t.arguments, options.map(row)),
    ...section(t.versions, versions.map(row)),
    ...section(t.places, places.map((place) => row({ ...place, name: t.placeNames[place.name] ?? place.name }))),
    ...section(t.phases, phases.map((phase) => phaseRow(t, phase))),
  ];
  const first = element("button", { type: "button", onclick: close }, t.close);
  const box = element("div", { class: "help comparison", role: "dialog", "aria-modal": "true", "aria-label": t.compare, tabindex: "-1" },
    element("h2", {}, t.compare),
    element("p", {}, differenceSummary(t, comparison)),
    element("table", {},
      element("thead", {}, element("tr", {}, element("td"),
        element("th", { scope: "col" }, t.thisLaunch, element("small", {}, when(launch.startedAt))),
        element("th", { scope: "col" }, t.lastReady, element("small", {}, when(other?.startedAt))))),
      ...rows),
    element("span", { class: "ways" }, first,
      ...(other ? [element("button", { type: "button", onclick: () => open(other.traceId, other.launchId) }, t.openOther)] : [])));
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
 * Rows under a heading; nothing without rows.
 * @param {string} title
 * @param {string[][]} rows
 */
function section(title, rows) {
  if (!rows.length) return [];
  return [element("tbody", {},
    element("tr", {}, element("th", { scope: "rowgroup", colSpan: 3, class: "part" }, title)),
    ...rows.map(([name, here, there]) => element("tr", {},
      element("th", { scope: "row" }, name), element("td", {}, here), element("td", {}, there))))];
}

/**
 * @param {Messages} t
 * @param {string | undefined} value
 */
function sideText(t, value) {
  return value === undefined ? "–" : value || t.isGiven;
}

/**
 * @param {Messages} t
 * @param {PhaseDifference} phase
 */
function phaseRow(t, { name, launch, other }) {
  return [phaseName(t, name), launch === undefined ? t.notReached : duration(launch), other === undefined ? "–" : duration(other)];
}
