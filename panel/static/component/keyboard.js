// What each key does. The page that `?` opens (messages.js: keys) lists the same keys; a test compares them.

/** @import { Actions } from "./actions.js" */

import { levelsFrom } from "./log/levels.js";

/** @type {Record<string, (actions: Actions, event: KeyboardEvent) => void>} */
export const KEYS = {
  j: (actions) => actions.scrollRows(1),
  ArrowDown: (actions, event) => (event.shiftKey ? actions.selectRow(1) : actions.scrollRows(1)),
  k: (actions) => actions.scrollRows(-1),
  ArrowUp: (actions, event) => (event.shiftKey ? actions.selectRow(-1) : actions.scrollRows(-1)),
  J: (actions) => actions.selectRow(1),
  K: (actions) => actions.selectRow(-1),
  PageDown: (actions) => actions.scrollPages(1),
  PageUp: (actions) => actions.scrollPages(-1),
  " ": (actions, event) => actions.scrollPages(event.shiftKey ? -1 : 1),
  g: (actions) => actions.toStart(),
  Home: (actions) => actions.toStart(),
  G: (actions) => actions.toEnd(),
  End: (actions) => actions.toEnd(),
  f: (actions) => actions.toEnd(),
  e: (actions) => actions.stepError("next"),
  E: (actions) => actions.stepError("previous"),
  x: (actions) => actions.openErrors(),
  v: (actions) => actions.openComparison(),
  h: (actions) => actions.openHistory(),
  "/": (actions) => actions.focusSearch(),
  n: (actions) => actions.nextMatch(),
  N: (actions) => actions.previousMatch(),
  ":": (actions) => actions.openGoto(),
  1: (actions) => actions.showLevels(""),
  2: (actions) => actions.showLevels(levelsFrom("info")),
  3: (actions) => actions.showLevels(levelsFrom("warning")),
  4: (actions) => actions.showLevels(levelsFrom("error")),
  w: (actions) => actions.toggle("wrap"),
  z: (actions) => actions.toggle("fold"),
  c: (actions) => actions.toggle("charts"),
  t: (actions) => actions.nextTimes(),
  u: (actions) => actions.nextZone(),
  y: (actions) => actions.copyLines(),
  l: (actions) => actions.copyLink(),
  d: (actions) => actions.openDownloads(),
  "?": (actions) => actions.openHelp(),
  Escape: (actions) => actions.escape(),
};

/**
 * Act on a key, unless a field or a button takes it.
 * @param {KeyboardEvent} event
 * @param {Actions} actions
 */
export function actOnKey(event, actions) {
  if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(KEYS, event.key)) return;
  const target = event.composedPath()[0];
  const name = target instanceof Element ? target.tagName : "";
  if (/^(?:INPUT|SELECT|TEXTAREA)$/.test(name)) return;
  if (name === "BUTTON" && (event.key === " " || event.key === "Enter")) return;
  event.preventDefault();
  KEYS[event.key](actions, event);
}
