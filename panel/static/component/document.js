// What is known of a log: a row of blocks in order. A block is loaded (its entries are here) or a hole (they are on
// the server). A hole of known size stands in the list with its true height, so that the scrollbar shows the whole
// log while only what is near is in memory.

import { compareKeys, FIRST, LAST } from "./keys.js";

export const BLOCK_LINES = 1000;
let nextBlock = 0;

/**
 * from (inclusive) and to (exclusive) are keys; counts: lines by source, null while unknown. Of a hole, last is the last
 * line of each source that is among the counts, and arrived are the lines that came before there were counts; meanwhile
 * are those that came while its lines were being fetched.
 */
function block(from, to, entries, counts, last = {}) {
  return { id: `b${nextBlock++}`, from, to, entries, counts, last, arrived: [], meanwhile: [], loading: null, failed: "", measured: 0 };
}

/** Count a line that fell into a hole, unless it was there when its lines were counted: a log's lines come in order. */
function countIn(hole, { source, id }) {
  if (hole.last[source] !== undefined && compareKeys(id, hole.last[source]) <= 0) return false;
  hole.counts[source] = (hole.counts[source] ?? 0) + 1;
  hole.last[source] = id;
  return true;
}

export function totalOf(counts) {
  let total = 0;
  for (const source in counts) total += counts[source];
  return total;
}

function countsOf(entries) {
  const counts = {};
  for (const entry of entries) counts[entry.source] = (counts[entry.source] ?? 0) + 1;
  return counts;
}

export class LogDocument {
  constructor() {
    this.blocks = [];
    this.version = 0;
  }

  get empty() {
    return this.blocks.every((each) => each.entries !== null && each.entries.length === 0);
  }

  /** Lines in all, null while a hole's size is unknown. */
  get total() {
    let total = 0;
    for (const each of this.blocks) {
      if (each.counts === null) return null;
      total += totalOf(each.counts);
    }
    return total;
  }

  get loadedCount() {
    return this.blocks.reduce((sum, each) => sum + (each.entries?.length ?? 0), 0);
  }

  get first() {
    return this.blocks.find((each) => each.entries?.length)?.entries[0] ?? null;
  }

  get last() {
    for (let i = this.blocks.length - 1; i >= 0; i--) {
      const entries = this.blocks[i].entries;
      if (entries?.length) return entries[entries.length - 1];
    }
    return null;
  }

  /** Begin with one page; before and after say whether there is more on that side. */
  reset(entries, { before, after }) {
    this.blocks = [];
    const from = before && entries.length ? entries[0].id : FIRST;
    const to = after && entries.length ? `${entries[entries.length - 1].id}0` : LAST;
    if (before) this.blocks.push(block(FIRST, from, null, null));
    this.blocks.push(...split(from, to, entries));
    if (after) this.blocks.push(block(to, LAST, null, null));
    this.version++;
  }

  /** Put the answer for a hole into its place. atEnd: the page lies at the hole's end, else at its beginning. */
  fill(hole, entries, { more, atEnd }) {
    const index = this.blocks.indexOf(hole);
    if (index < 0) return;
    let replacement;
    if (!more || entries.length === 0) {
      replacement = split(hole.from, hole.to, entries);
    } else if (atEnd) {
      const edge = entries[0].id;
      replacement = [remaining(hole, hole.from, edge, entries), ...split(edge, hole.to, entries)];
    } else {
      const edge = `${entries[entries.length - 1].id}0`;
      replacement = [...split(hole.from, edge, entries), remaining(hole, edge, hole.to, entries)];
    }
    this.blocks.splice(index, 1, ...replacement);
    this.version++;
    this.add(hole.meanwhile);
  }

  /** Open a hole in its middle: before and after are the pages on both sides of a place in it. */
  open(hole, before, after) {
    const index = this.blocks.indexOf(hole);
    const entries = [...before.lines, ...after.lines];
    if (index < 0 || entries.length === 0) return;
    const from = before.more ? entries[0].id : hole.from;
    const to = after.more ? `${entries[entries.length - 1].id}0` : hole.to;
    const parts = split(from, to, entries);
    if (before.more) parts.unshift(unknown(hole, hole.from, from));
    if (after.more) parts.push(unknown(hole, to, hole.to));
    this.blocks.splice(index, 1, ...parts);
    this.version++;
    this.add(hole.meanwhile);
  }

  /** Take in lines that arrived; returns how many were new. They may be older than what is here. */
  add(entries) {
    let added = 0;
    for (const entry of entries) {
      let index = this.blocks.length - 1;
      while (index > 0 && compareKeys(entry.id, this.blocks[index].from) < 0) index--;
      if (index < 0) {
        this.blocks.push(block(FIRST, LAST, [entry], { [entry.source]: 1 }));
        added++;
        continue;
      }
      const target = this.blocks[index];
      if (target.entries === null) {
        if (target.loading) target.meanwhile.push(entry);
        if (target.counts === null) target.arrived.push({ id: entry.id, source: entry.source });
        else if (!countIn(target, entry)) continue;
        added++;
        continue;
      }
      if (!insert(target.entries, entry)) continue;
      target.counts[entry.source] = (target.counts[entry.source] ?? 0) + 1;
      added++;
      if (target.entries.length > BLOCK_LINES * 1.5) {
        const parts = split(target.from, target.to, target.entries);
        this.blocks.splice(index, 1, ...parts);
      }
    }
    if (added) this.version++;
    return added;
  }

  /** The first hole of unknown size, null if there is none. */
  get unknownHole() {
    return this.blocks.find((each) => each.entries === null && each.counts === null) ?? null;
  }

  /**
   * Give a hole its size, from the server's index: checkpoints {time, counts}, each with the lines of every source
   * before its time; counts, those before the hole's end, and last, the last of them. All that is before the hole must
   * be known.
   */
  sizeHole(hole, { checkpoints, counts: end, last }) {
    const index = this.blocks.indexOf(hole);
    if (index < 0 || hole.counts !== null) return;
    let reached = this.numbersBefore(hole);
    if (reached === null) return;
    const parts = [];
    let from = hole.from;
    const inside = checkpoints.filter(
      (each) => compareKeys(each.time, hole.from) > 0 && compareKeys(each.time, hole.to) < 0,
    );
    for (const edge of [...inside, { time: hole.to, counts: end }]) {
      const counts = {};
      for (const source in edge.counts) {
        const lines = edge.counts[source] - (reached[source] ?? 0);
        if (lines > 0) counts[source] = lines;
      }
      if (totalOf(counts) > 0) {
        parts.push(block(from, edge.time, null, counts, { ...last }));
        from = edge.time;
      }
      reached = { ...reached, ...edge.counts };
    }
    if (parts.length) parts[parts.length - 1].to = hole.to;
    this.blocks.splice(index, 1, ...parts);
    for (const line of hole.arrived) {
      const part = parts.find((each) => compareKeys(line.id, each.to) < 0);
      if (part) countIn(part, line);
    }
    this.version++;
  }

  /** The line with this number in a log, as {block} of where it is; null while that is unknown. */
  blockOfNumber(source, number) {
    let before = 0;
    for (const each of this.blocks) {
      if (each.counts === null) return null;
      const lines = each.counts[source] ?? 0;
      if (number <= before + lines) return { block: each, offset: number - before - 1 };
      before += lines;
    }
    return null;
  }

  /** Let go of loaded blocks that are far from the given ones, until at most `keep` lines are here. */
  evict(near, keep) {
    let loaded = this.loadedCount;
    if (loaded <= keep) return;
    const positions = new Map(this.blocks.map((each, index) => [each, index]));
    const places = [...near].map((each) => positions.get(each)).filter((each) => each !== undefined);
    if (places.length === 0) return;
    const distance = (index) => Math.min(...places.map((place) => Math.abs(place - index)));
    const candidates = this.blocks
      .map((each, index) => ({ each, index }))
      .filter(({ each }) => each.entries?.length)
      .sort((a, b) => distance(b.index) - distance(a.index));
    for (const { each, index } of candidates) {
      if (loaded <= keep || distance(index) <= 1) break;
      loaded -= each.entries.length;
      for (const entry of each.entries) each.last[entry.source] = entry.id;
      each.entries = null;
    }
    this.version++;
  }

  /** The number, in its own log, of each source's line before this block; null while a hole before it is unknown. */
  numbersBefore(target) {
    const numbers = {};
    for (const each of this.blocks) {
      if (each === target) return numbers;
      if (each.counts === null) return null;
      for (const source in each.counts) numbers[source] = (numbers[source] ?? 0) + each.counts[source];
    }
    return numbers;
  }

  /** The block in which a key lies. */
  blockAt(key) {
    return this.blocks.find((each) => compareKeys(key, each.to) < 0) ?? this.blocks[this.blocks.length - 1];
  }
}

/** What is left of a hole, from one key to another, once these lines of it are here. */
function remaining(hole, from, to, entries) {
  if (hole.counts === null) return unknown(hole, from, to);
  const counts = { ...hole.counts };
  for (const entry of entries) counts[entry.source] = Math.max(0, (counts[entry.source] ?? 0) - 1);
  return block(from, to, null, counts, { ...hole.last });
}

function unknown(hole, from, to) {
  const part = block(from, to, null, null);
  part.arrived = hole.arrived.filter((line) => compareKeys(line.id, from) >= 0 && compareKeys(line.id, to) < 0);
  return part;
}

function split(from, to, entries) {
  const parts = [];
  for (let start = 0; start < Math.max(1, entries.length); start += BLOCK_LINES) {
    const part = entries.slice(start, start + BLOCK_LINES);
    const partFrom = start === 0 ? from : part[0].id;
    const next = entries[start + BLOCK_LINES];
    parts.push(block(partFrom, next ? next.id : to, part, countsOf(part)));
  }
  return parts;
}

/** Insert in order, from the end since that is where new lines belong; false if the line is there already. */
function insert(entries, entry) {
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
