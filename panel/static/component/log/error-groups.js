// The errors of a log, folded into groups by what they say: the same error of eight workers, or at every request, is one.

/** @import { Line } from "../types.js" */

import { errorText, isErrorHead } from "./errors.js";

// What follows from an error that came before it, and what libraries print while a process ends.
const CONSEQUENCES = [
  /Engine core initialization failed|EngineDeadError|See root cause above|See stack trace (?:above )?for the root cause/,
  /WorkerProc (?:initialization failed|failed|hit an exception)|Worker failed with error|Worker proc .* died unexpectedly|EngineCore (?:failed to start|encountered a fatal error)/,
  /nanobind: (?:leaked|this is likely)|resource_tracker: There appear|destroy_process_group\(\) was not called/,
];
const VARYING = /0x[0-9a-f]+|\b[0-9a-f]{8,}(?:-[0-9a-f]{2,})*\b|\d+(?:\.\d+)?/gi;

/**
 * @typedef {object} ErrorGroup
 * @property {string} text of its first line, without the header
 * @property {number} count
 * @property {Line} first
 * @property {Line} last
 * @property {boolean} isConsequence of an error before it, or noise of an ending process
 */

/**
 * Group lines of error levels, oldest first. Causes come before consequences, and each in the order of their first line.
 * @param {Iterable<Line>} lines
 * @returns {ErrorGroup[]}
 */
export function groupErrors(lines) {
  /** @type {Map<string, ErrorGroup>} */
  const groups = new Map();
  for (const line of lines) {
    if (line.kind === "event" || !isErrorHead(line.text)) continue;
    const text = errorText(line.text).trimEnd();
    const same = text.replace(VARYING, "#");
    const group = groups.get(same);
    if (group) {
      group.count++;
      group.last = line;
    } else {
      const isConsequence = CONSEQUENCES.some((pattern) => pattern.test(text));
      groups.set(same, { text, count: 1, first: line, last: line, isConsequence });
    }
  }
  const found = [...groups.values()];
  return [...found.filter((group) => !group.isConsequence), ...found.filter((group) => group.isConsequence)];
}
