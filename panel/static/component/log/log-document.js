// What is known of a log: blocks in order. A block is loaded (its entries are here) or a hole (they are on the server).
// A hole of known size is shown with its true height, so that the scrollbar shows the whole log while only what is near
// is in memory.

/** @import { Block, Counts, Line, LineIndex } from "../types.js" */

import { addToHole, BLOCK_LINES, countIn, difference, insert, isLoaded, newBlock, remaining, split, totalOf, unknownPart } from "./block.js";
import { behind, compareKeys, FIRST, LAST } from "./line-key.js";

export class LogDocument {
  constructor() {
    /** @type {Block[]} */
    this.blocks = [];
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

  /** Lines that are here. */
  get loadedCount() {
    return this.blocks.reduce((sum, each) => sum + (each.entries?.length ?? 0), 0);
  }

  /** The first line that is here. */
  get first() {
    return this.blocks.find((each) => each.entries?.length)?.entries?.[0] ?? null;
  }

  /** The last line that is here. */
  get last() {
    for (let i = this.blocks.length - 1; i >= 0; i--) {
      const { entries } = this.blocks[i];
      if (entries?.length) return entries[entries.length - 1];
    }
    return null;
  }

  /** The last block; undefined if there is none yet. */
  get lastBlock() {
    return this.blocks[this.blocks.length - 1];
  }

  /** Whether the newest lines are here. */
  get tailIsLoaded() {
    return this.blocks.length === 0 || this.lastBlock.entries !== null;
  }

  /** The first hole of unknown size, null if there is none. */
  get unknownHole() {
    return this.blocks.find((each) => each.entries === null && each.counts === null) ?? null;
  }

  /** The sources of the lines that are counted. */
  get sources() {
    return [...new Set(this.blocks.flatMap((each) => Object.keys(each.counts ?? {})))];
  }

  /**
   * Begin with one page; before and after: whether there is more on that side.
   * @param {Line[]} entries
   * @param {{before: boolean, after: boolean}} more
   */
  reset(entries, { before, after }) {
    const from = before && entries.length ? entries[0].id : FIRST;
    const to = after && entries.length ? behind(entries[entries.length - 1].id) : LAST;
    this.blocks = split(from, to, entries);
    if (before) this.blocks.unshift(newBlock(FIRST, from, null, null));
    if (after) this.blocks.push(newBlock(to, LAST, null, null));
  }

  /**
   * Put a page in the place of a hole. atEnd: the page lies at the hole's end, else at its beginning; more: a hole remains.
   * @param {Block} hole
   * @param {Line[]} entries
   * @param {{more: boolean, atEnd: boolean}} page
   */
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
      const edge = behind(entries[entries.length - 1].id);
      replacement = [...split(hole.from, edge, entries), remaining(hole, edge, hole.to, entries)];
    }
    this.blocks.splice(index, 1, ...replacement);
    this.add(hole.meanwhile);
  }

  /**
   * Open a hole in its middle: before and after are the pages on both sides of a place in it.
   * @param {Block} hole
   * @param {{lines: Line[], more: boolean}} before
   * @param {{lines: Line[], more: boolean}} after
   */
  open(hole, before, after) {
    const index = this.blocks.indexOf(hole);
    const entries = [...before.lines, ...after.lines];
    if (index < 0 || entries.length === 0) return;
    const from = before.more ? entries[0].id : hole.from;
    const to = after.more ? behind(entries[entries.length - 1].id) : hole.to;
    const parts = split(from, to, entries);
    if (before.more) parts.unshift(unknownPart(hole, hole.from, from));
    if (after.more) parts.push(unknownPart(hole, to, hole.to));
    this.blocks.splice(index, 1, ...parts);
    this.add(hole.meanwhile);
  }

  /**
   * Add lines that arrived, which may be older than what is here. Returns how many were new.
   * @param {Line[]} entries
   */
  add(entries) {
    let added = 0;
    for (const entry of entries) if (this.#addOne(entry)) added++;
    return added;
  }

  /** @param {Line} entry */
  #addOne(entry) {
    let index = this.blocks.length - 1;
    while (index > 0 && compareKeys(entry.id, this.blocks[index].from) < 0) index--;
    if (index < 0) {
      this.blocks.push(newBlock(FIRST, LAST, [entry], { [entry.source]: 1 }));
      return true;
    }
    const target = this.blocks[index];
    if (!isLoaded(target)) return addToHole(target, entry);
    if (!insert(target.entries, entry)) return false;
    target.counts[entry.source] = (target.counts[entry.source] ?? 0) + 1;
    if (target.entries.length > BLOCK_LINES * 1.5) {
      this.blocks.splice(index, 1, ...split(target.from, target.to, target.entries));
    }
    return true;
  }

  /**
   * Give a hole its size, from the server's index of the lines before the hole's end. All that is before the hole must
   * be counted. It becomes a hole for each checkpoint in it.
   * @param {Block} hole
   * @param {Pick<LineIndex, "checkpoints" | "counts" | "last">} lineIndex
   */
  sizeHole(hole, { checkpoints = [], counts: end = {}, last = {} }) {
    const index = this.blocks.indexOf(hole);
    if (index < 0 || hole.counts !== null) return;
    let reached = this.#countsBefore(hole);
    if (reached === null) return;
    const parts = [];
    let { from } = hole;
    const inside = checkpoints.filter(
      (each) => compareKeys(each.time, hole.from) > 0 && compareKeys(each.time, hole.to) < 0,
    );
    for (const edge of [...inside, { time: hole.to, counts: end }]) {
      const counts = difference(edge.counts, reached);
      if (totalOf(counts) > 0) {
        parts.push(newBlock(from, edge.time, null, counts, { ...last }));
        from = edge.time;
      }
      reached = { ...reached, ...edge.counts };
    }
    if (parts.length) parts[parts.length - 1].to = hole.to;
    this.blocks.splice(index, 1, ...parts);
    for (const line of hole.arrived) {
      const part = parts.find((each) => compareKeys(line.id, each.to) < 0);
      if (part?.counts) countIn(part.counts, part.last, line);
    }
  }

  /**
   * Where the line with this number in its own log is: the block, and how many lines of the log are before it in there.
   * null while that is unknown, or if there is no such line.
   * @param {string} source
   * @param {number} number
   */
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

  /**
   * Unload blocks that are far from the given ones, until at most `keep` lines are here.
   * @param {Set<Block>} near
   * @param {number} keep
   */
  evict(near, keep) {
    let loaded = this.loadedCount;
    if (loaded <= keep) return;
    const places = this.blocks.flatMap((each, index) => (near.has(each) ? [index] : []));
    if (places.length === 0) return;
    /** @param {number} index */
    const distance = (index) => Math.min(...places.map((place) => Math.abs(place - index)));
    const candidates = this.blocks
      .map((each, index) => ({ each, index }))
      .filter(({ each }) => each.entries?.length)
      .sort((a, b) => distance(b.index) - distance(a.index));
    for (const { each, index } of candidates) {
      if (loaded <= keep || distance(index) <= 1) break;
      for (const entry of each.entries ?? []) each.last[entry.source] = entry.id;
      loaded -= each.entries?.length ?? 0;
      each.entries = null;
    }
  }

  /**
   * The block in which a key lies; undefined if there is none yet.
   * @param {string} key
   * @returns {Block | undefined}
   */
  blockAt(key) {
    return this.blocks.find((each) => compareKeys(key, each.to) < 0) ?? this.lastBlock;
  }

  /**
   * The lines of each source before a block; null while a hole before it is not counted.
   * @param {Block} block
   */
  #countsBefore(block) {
    /** @type {Counts} */
    const counts = {};
    for (const each of this.blocks) {
      if (each === block) return counts;
      if (each.counts === null) return null;
      for (const source in each.counts) counts[source] = (counts[source] ?? 0) + each.counts[source];
    }
    return counts;
  }
}
