// Blocks, the parts of a log: how lines are counted in a hole, put into a loaded block, and cut into blocks.
// Of a hole, `last` separates the lines that are counted already from new ones.

/** @import { Block, Counts, Line } from "../types.js" */

import { compareKeys } from "./line-key.js";

export const BLOCK_LINES = 1000;
export const FIRST_PAGE_LINES = 400; // what a log is opened with
let blocksMade = 0;

/** @typedef {Block & {entries: Line[], counts: Counts}} LoadedBlock a block whose lines are here */

/** @param {Counts} counts */
export function totalOf(counts) {
  let total = 0;
  for (const source in counts) total += counts[source];
  return total;
}

/**
 * @param {Block} block
 * @returns {block is LoadedBlock}
 */
export function isLoaded(block) {
  return block.entries !== null;
}

/**
 * @param {string} from
 * @param {string} to
 * @param {Line[] | null} entries
 * @param {Counts | null} counts
 * @param {Record<string, string>} [last]
 * @returns {Block}
 */
export function newBlock(from, to, entries, counts, last = {}) {
  const key = `b${blocksMade++}`;
  return { key, from, to, entries, counts, last, arrived: [], meanwhile: [], loading: null, failed: "" };
}

/**
 * Returns whether the line is new.
 * @param {Block} hole
 * @param {Line} entry
 */
export function addToHole(hole, entry) {
  if (hole.loading) hole.meanwhile.push(entry);
  if (hole.counts !== null) return countIn(hole.counts, hole.last, entry);
  hole.arrived.push({ id: entry.id, source: entry.source });
  return true;
}

/**
 * Count a line that fell into a hole, unless it was there when its lines were counted: a log's lines come in order.
 * @param {Counts} counts
 * @param {Record<string, string>} last
 * @param {{id: string, source: string}} line
 */
export function countIn(counts, last, { source, id }) {
  if (last[source] !== undefined && compareKeys(id, last[source]) <= 0) return false;
  counts[source] = (counts[source] ?? 0) + 1;
  last[source] = id;
  return true;
}

/** @param {Line[]} entries */
function countsOf(entries) {
  /** @type {Counts} */
  const counts = {};
  for (const entry of entries) counts[entry.source] = (counts[entry.source] ?? 0) + 1;
  return counts;
}

/**
 * The lines that one count has more than another, of the sources that have any.
 * @param {Counts} counts
 * @param {Counts} before
 */
export function difference(counts, before) {
  /** @type {Counts} */
  const found = {};
  for (const source in counts) {
    const lines = counts[source] - (before[source] ?? 0);
    if (lines > 0) found[source] = lines;
  }
  return found;
}

/**
 * What is left of a hole, from one key to another, once these lines of it are here.
 * @param {Block} hole
 * @param {string} from
 * @param {string} to
 * @param {Line[]} entries
 */
export function remaining(hole, from, to, entries) {
  if (hole.counts === null) return unknownPart(hole, from, to);
  const counts = { ...hole.counts };
  for (const entry of entries) counts[entry.source] = Math.max(0, (counts[entry.source] ?? 0) - 1);
  return newBlock(from, to, null, counts, { ...hole.last });
}

/**
 * @param {Block} hole
 * @param {string} from
 * @param {string} to
 */
export function unknownPart(hole, from, to) {
  const part = newBlock(from, to, null, null);
  part.arrived = hole.arrived.filter((line) => compareKeys(line.id, from) >= 0 && compareKeys(line.id, to) < 0);
  return part;
}

/**
 * @param {string} from
 * @param {string} to
 * @param {Line[]} entries
 */
export function split(from, to, entries) {
  const parts = [];
  for (let start = 0; start < Math.max(1, entries.length); start += BLOCK_LINES) {
    const part = entries.slice(start, start + BLOCK_LINES);
    const partFrom = start === 0 ? from : part[0].id;
    const next = entries[start + BLOCK_LINES];
    parts.push(newBlock(partFrom, next ? next.id : to, part, countsOf(part)));
  }
  return parts;
}

/**
 * Insert in order, from the end since that is where new lines belong. Returns false if the line is there already.
 * @param {Line[]} entries
 * @param {Line} entry
 */
export function insert(entries, entry) {
  let index = entries.length;
  while (index > 0) {
    const order = compareKeys(entries[index - 1].id, entry.id);
    if (order === 0) return false;
    if (order < 0) break;
    index--;
  }
  entries.splice(index, 0, entry);
  return true;
}
