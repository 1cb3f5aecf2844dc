// One row of the log as elements: gutter (number, time, the launch's colour) and text.

import { appendPieces, pieces } from "./ansi.js";
import { element } from "./dom.js";
import { bytes, fullTime, lineTime } from "./format.js";
import { TAGS } from "./launches.js";
import { rowText } from "./rows.js";

const TEXT_SHOWN = 4_000;

/**
 * Fill a row's element. look: what it depends on besides the row: {text (messages), settings, launches, origin, numbered,
 * selected, match, pattern, expanded}. on: {select(row, extend), expand(row, characters), unfold(row)}.
 */
export function fillRow(into, row, look, on) {
  const { entry } = row;
  const isEvent = entry.kind === "event";
  const isGap = entry.kind === "gap" || (isEvent && /^(?:gap|dropped)\b/.test(entry.text));
  const classes = ["row"];
  if (isGap) classes.push("gap");
  else if (isEvent) classes.push("event");
  if (row.continues) classes.push("continues");
  if (look.selected) classes.push("selected");
  if (look.match && row.parts.some((part) => part.id === look.match)) classes.push("cursor");
  into.className = classes.join(" ");
  if (entry.level) into.dataset.level = entry.level;
  else delete into.dataset.level;
  into.replaceChildren(gutterOf(row, look, on), textOf(row, look, on));
}

function gutterOf(row, { settings, launches, origin, numbered }, on) {
  const { entry } = row;
  const gutter = element("span", { class: "gutter" });
  gutter.append(element("span", {
    class: "number", title: fullTime(entry.id, settings.zone), onclick: (event) => on.select(row, event.shiftKey),
  }, !numbered || row.number === null ? "" : String(row.number)));
  const shown = lineTime(entry.id, { mode: settings.times, zone: settings.zone, origin });
  if (shown) gutter.append(element("span", { class: "time" }, shown));
  if (launches.length > 1) {
    const tag = element("span", { class: "tag", title: entry.source });
    const index = launches.findIndex((launch) => launch.launchId === entry.source);
    tag.style.setProperty("--tag", index < 0 ? "var(--fg-faint)" : TAGS[index % TAGS.length]);
    gutter.append(tag);
  }
  return gutter;
}

function textOf(row, { text: t, pattern, expanded }, on) {
  const into = element("span", { class: "text" });
  const text = rowText(row);
  const limit = expanded ?? TEXT_SHOWN;
  appendPieces(into, pieces(text.length > limit ? text.slice(0, limit) : text), pattern);
  const more = (label, act) => into.append(element("button", { class: "more", type: "button", onclick: act }, label));
  if (text.length > limit) more(t.moreText(bytes(text.length - limit)), () => on.expand(row, limit * 8));
  if (row.folded) more(`${row.open ? "▾" : "▸"} ${t.unfold(row.folded)}`, () => on.unfold(row));
  if (row.redraws) into.append(element("span", { class: "chip" }, t.redraws(row.redraws)));
  return into;
}

/** Fill the element of lines that are not here yet. */
export function fillHole(into, block, t, retry) {
  into.className = "hole";
  delete into.dataset.level;
  const label = element("span", {}, block.failed ? `${t.loadFailed} (${block.failed})` : t.loading);
  if (block.failed) label.addEventListener("click", retry);
  into.replaceChildren(label);
}
