// One row of the log as elements: a gutter (number, time, the launch's colour) and the text; or a hole.

/** @import { Block, Launch, LineRow, Messages, Settings } from "../types.js" */
/** @import { Piece } from "../log/ansi.js" */

import { pieces } from "../log/ansi.js";
import { eventSentence } from "../log/events.js";
import { bytes, fullTime, lineTime } from "../log/format.js";
import { rowText } from "../log/rows.js";
import { element } from "./dom.js";
import { tagColor } from "./launch-header.js";

const CHARACTERS_SHOWN = 4_000;
const MORE_FACTOR = 8;
/** @type {("bold" | "dim" | "italic" | "underline" | "inverse" | "strike")[]} */
const SWITCHES = ["bold", "dim", "italic", "underline", "inverse", "strike"];

/**
 * What a row's element depends on besides the row.
 * @typedef {object} Look
 * @property {Messages} t
 * @property {Settings} settings
 * @property {Launch[]} launches
 * @property {string | undefined} origin the key that relative times count from
 * @property {boolean} numbered
 * @property {boolean} selected
 * @property {string | null} match the id of the line that the search is at
 * @property {RegExp | null} pattern
 * @property {number | undefined} characters how many of them are shown; by default CHARACTERS_SHOWN
 */

/**
 * @typedef {object} RowHandlers
 * @property {(row: LineRow, extend: boolean) => void} select
 * @property {(row: LineRow, characters: number) => void} expand
 * @property {(row: LineRow) => void} unfold
 * @property {(requestId: string) => void} request
 */

/**
 * Fill a row's element.
 * @param {HTMLElement} into
 * @param {LineRow} row
 * @param {Look} look
 * @param {RowHandlers} on
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

/**
 * Fill the element of lines that are not here.
 * @param {HTMLElement} into
 * @param {Block} block
 * @param {Messages} t
 * @param {() => void} retry
 */
export function fillHole(into, block, t, retry) {
  into.className = "hole";
  delete into.dataset.level;
  const label = element("span", {}, block.failed ? `${t.loadFailed} (${block.failed})` : t.loading);
  if (block.failed) label.addEventListener("click", retry);
  into.replaceChildren(label);
}

/**
 * @param {LineRow} row
 * @param {Look} look
 * @param {RowHandlers} on
 */
function gutterOf(row, { settings, launches, origin, numbered }, on) {
  const { entry } = row;
  const gutter = element("span", { class: "gutter" });
  gutter.append(element("span", {
    class: "number",
    title: fullTime(entry.id, settings.zone),
    onclick: (/** @type {MouseEvent} */ event) => on.select(row, event.shiftKey),
  }, !numbered || row.number === null ? "" : String(row.number)));
  const shown = lineTime(entry.id, { mode: settings.times, zone: settings.zone, origin });
  if (shown) gutter.append(element("span", { class: "time" }, shown));
  if (launches.length > 1) {
    const tag = element("span", { class: "tag", title: entry.source });
    tag.style.setProperty("--tag", tagColor(launches.findIndex((launch) => launch.launchId === entry.source)));
    gutter.append(tag);
  }
  return gutter;
}

/**
 * @param {LineRow} row
 * @param {Look} look
 * @param {RowHandlers} on
 */
function textOf(row, { t, pattern, characters }, on) {
  const whole = rowText(row);
  const sentence = row.entry.kind === "event" ? eventSentence(t, whole) : null;
  const into = element("span", { class: "text", title: sentence === null ? undefined : whole });
  // A search goes through the event as it was written, so that is what shows the match.
  const isMatch = pattern !== null && sentence !== null && whole.search(pattern) >= 0;
  const text = row.entry.kind === "gap" ? t.gapCrowded : isMatch ? whole : (sentence ?? whole);
  const limit = characters ?? CHARACTERS_SHOWN;
  appendPieces(into, pieces(text.length > limit ? text.slice(0, limit) : text), pattern);
  const { requestId } = row.entry;
  if (requestId) linkText(into, requestId, t.onlyRequest(requestId), () => on.request(requestId));
  /** @type {(label: string, act: () => void) => void} */
  const more = (label, act) => into.append(element("button", { class: "more", type: "button", onclick: act }, label));
  if (text.length > limit) more(t.moreText(bytes(text.length - limit)), () => on.expand(row, limit * MORE_FACTOR));
  if (row.folded) more(`${row.open ? "▾" : "▸"} ${t.unfold(row.folded)}`, () => on.unfold(row));
  if (row.redraws) into.append(element("span", { class: "chip" }, t.redraws(row.redraws)));
  return into;
}

/**
 * Make the first place of a text a link.
 * @param {HTMLElement} into
 * @param {string} text
 * @param {string} label
 * @param {() => void} act
 */
function linkText(into, text, label, act) {
  const nodes = document.createTreeWalker(into, NodeFilter.SHOW_TEXT);
  for (let node = nodes.nextNode(); node instanceof Text; node = nodes.nextNode()) {
    const at = node.data.indexOf(text);
    if (at < 0) continue;
    const found = node.splitText(at);
    found.splitText(text.length);
    const button = element("button", { class: "request", type: "button", title: label, onclick: act });
    found.replaceWith(button);
    button.append(found);
    return;
  }
}

/**
 * Append pieces as text nodes and spans, with the matches of what is searched for marked.
 * @param {HTMLElement} into
 * @param {Piece[]} found
 * @param {RegExp | null} pattern
 */
function appendPieces(into, found, pattern) {
  for (const piece of found) {
    let target = into;
    if (piece.mark) {
      into.append(element("span", { class: "hidden-character", title: piece.mark }, piece.text));
      continue;
    }
    const classes = classesOf(piece);
    const { color, background } = piece;
    if (classes.length || color || background) {
      target = element("span", { class: classes.join(" ") });
      if (color?.startsWith("rgb(")) target.style.color = color;
      if (background?.startsWith("rgb(")) target.style.backgroundColor = background;
      into.append(target);
    }
    if (pattern) appendMarked(target, piece.text, pattern);
    else target.append(piece.text);
  }
}

/** @param {Piece} piece */
function classesOf(piece) {
  const { color, background } = piece;
  const classes = SWITCHES.filter((name) => piece[name]).map((name) => `ansi-${name}`);
  if (color && !color.startsWith("rgb(")) classes.push(`ansi-fg-${color}`);
  if (background && !background.startsWith("rgb(")) classes.push(`ansi-bg-${background}`);
  return classes;
}

/**
 * @param {HTMLElement} into
 * @param {string} text
 * @param {RegExp} pattern
 */
function appendMarked(into, text, pattern) {
  let from = 0;
  pattern.lastIndex = 0;
  for (let match = pattern.exec(text); match; match = pattern.exec(text)) {
    if (match[0] === "") {
      pattern.lastIndex++;
      continue;
    }
    into.append(text.slice(from, match.index), element("mark", {}, match[0]));
    from = pattern.lastIndex;
  }
  into.append(text.slice(from));
}
