// From a log's blocks to the rows that are shown: pieces of a cut line are joined, the redraws of a progress bar become
// one row, and what continues a record (a traceback, a banner) is folded under it where that is wanted.

/** @import { Block, Counts, Line, LineRow, Row } from "../types.js" */

import { isErrorHead } from "./errors.js";

// What vLLM, uvicorn, Python's logging and most servers begin a record with.
const RECORD =
  /^(?:\[?(?:traceId=\S+ instanceId=\S+\] )?)?(?:\((?:[\w-]+)(?: pid=\d+)?\) ?)?(?:\x1b\[[\d;]*m)*(?:DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL|FATAL)\b|^\{"|^\d{4}-\d\d-\d\d[ T]\d\d:\d\d|^\[?[IWEF]\d{4} /;
const FOLD_MIN = 3; // as many continuing rows stay as they are

/**
 * Whether the line begins a record; others continue the one before them.
 * @param {Line} entry
 */
function beginsRecord(entry) {
  return entry.kind === "event" || entry.kind === "redraw" || Boolean(entry.code) || RECORD.test(entry.text);
}

/**
 * Whether the line continues a record. vLLM puts its header before each line of a traceback: all but the exception, which
 * says what happened, continue the error of the same process.
 * @param {Line} entry
 * @param {Line} record
 */
function continuesRecord(entry, record) {
  if (!beginsRecord(entry)) return entry.source === record.source;
  return entry.level === "error" && record.level === "error" && placeOf(entry) === placeOf(record) && !isErrorHead(entry.text);
}

/**
 * The rows of blocks. unfolded: keys of the records that are shown whole all the same.
 * @param {Block[]} blocks
 * @param {{fold: boolean, unfolded: Set<string>}} options
 */
export function buildRows(blocks, { fold, unfolded }) {
  const builder = new RowBuilder(fold, unfolded);
  for (const block of blocks) {
    if (block.entries === null) builder.addHole(block);
    else for (const entry of block.entries) builder.addLine(entry);
  }
  return builder.finish();
}

/**
 * The whole text of a row.
 * @param {LineRow} row
 */
export function rowText(row) {
  return row.parts.length === 1 ? row.entry.text : row.parts.map((part) => part.text).join("");
}

class RowBuilder {
  /** @type {Row[]} */
  #rows = [];
  /** @type {Counts | null} Lines so far by source; null behind a hole of unknown size. */
  #numbers = {};
  /** @type {LineRow | null} The record that further lines may continue. */
  #record = null;
  /** @type {LineRow[]} */
  #continuations = [];
  /** @type {Map<string, LineRow>} The cut line of each source that is not complete. */
  #cut = new Map();
  /** @type {Map<string, LineRow>} The progress bar of each process. */
  #redraw = new Map();
  #fold;
  #unfolded;

  /**
   * @param {boolean} fold
   * @param {Set<string>} unfolded
   */
  constructor(fold, unfolded) {
    this.#fold = fold;
    this.#unfolded = unfolded;
  }

  finish() {
    this.#closeRecord();
    return this.#rows;
  }

  /** @param {Block} block */
  addHole(block) {
    this.#closeRecord();
    this.#rows.push({ type: "hole", key: block.key, block });
    if (block.counts === null) this.#numbers = null;
    else if (this.#numbers) {
      for (const source in block.counts) this.#numbers[source] = (this.#numbers[source] ?? 0) + block.counts[source];
    }
    this.#cut.clear();
    this.#redraw.clear();
  }

  /** @param {Line} entry */
  addLine(entry) {
    const number = this.#nextNumber(entry.source);
    if (this.#joins(entry)) return;
    /** @type {LineRow} */
    const row = {
      type: "line", key: entry.id, entry, parts: [entry], number, continues: false, redraws: 0, folded: 0, open: false,
    };
    if (entry.kind === "cut") this.#cut.set(entry.source, row);
    if (entry.kind === "redraw") this.#redraw.set(placeOf(entry), row);
    this.#placeInRecord(row);
    this.#rows.push(row);
  }

  /** @param {string} source */
  #nextNumber(source) {
    if (this.#numbers === null) return null;
    return (this.#numbers[source] = (this.#numbers[source] ?? 0) + 1);
  }

  /**
   * Add the line to the row of a cut line or of a progress bar; returns whether it belongs to one.
   * @param {Line} entry
   */
  #joins(entry) {
    if (entry.kind === "event") return false;
    const begun = this.#cut.get(entry.source);
    if (begun) {
      begun.parts.push(entry);
      if (entry.kind !== "cut") this.#cut.delete(entry.source);
      return true;
    }
    if (this.#redraw.size === 0) return false;
    const place = placeOf(entry);
    const drawn = entry.kind === "redraw" ? this.#redraw.get(place) : undefined;
    if (drawn) {
      drawn.redraws++;
      drawn.entry = entry;
      drawn.parts = [entry];
      return true;
    }
    if (entry.kind !== "redraw") this.#redraw.delete(place);
    return false;
  }

  /** @param {LineRow} row */
  #placeInRecord(row) {
    if (this.#record && continuesRecord(row.entry, this.#record.entry)) {
      row.continues = !beginsRecord(row.entry); // indented, where no header of its own shows where it begins
      this.#continuations.push(row);
      return;
    }
    this.#closeRecord();
    if (beginsRecord(row.entry) && row.entry.kind !== "event") this.#record = row;
  }

  #closeRecord() {
    const record = this.#record;
    const continuations = this.#continuations;
    this.#record = null;
    if (continuations.length) this.#continuations = [];
    if (!record || !this.#fold) return;
    const exception = continuations.filter(({ entry }) => entry.level === "error" && isErrorHead(entry.text)).pop();
    const folded = continuations.length - (exception ? 1 : 0);
    if (folded <= FOLD_MIN) return;
    record.folded = folded;
    record.open = this.#unfolded.has(record.key);
    if (record.open) return;
    this.#rows.length -= continuations.length; // they are the last rows
    if (exception) this.#rows.push(exception);
  }
}

/** @param {Line} entry */
function placeOf(entry) {
  return `${entry.source} ${entry.pid ?? ""}`;
}
