// Loads the holes of one document, as much as is needed of each, and unloads what is far from what is in sight.

/** @import { PanelApi } from "./api/panel-api.js" */
/** @import { LogDocument } from "./log/log-document.js" */
/** @import { LogView } from "./parts/log-view.js" */
/** @import { Scope } from "./scope.js" */
/** @import { Block, Gap, Line, LogPage } from "./types.js" */

import { messageOf, refusalCode } from "./api/panel-api.js";
import { BLOCK_LINES, totalOf } from "./log/block.js";

const KEEP_LINES = 12_000;
const WHOLE_HOLE_LINES = 2_500; // a hole of known size up to this is fetched at once
const SPARE_LINES = 100; // more may have come since they were counted
const LOADS_MAX = 3;
const RETRY_MS = 3_000;
const TIMEOUT_MS = 10_000;

/**
 * @typedef {object} LoadHandlers
 * @property {() => void} loaded the document has changed
 * @property {(gaps: Gap[]) => void} gaps
 * @property {(code: string) => void} tokenNeeded
 */

export class BlockLoader {
  #api;
  #scope;
  #document;
  #view;
  #on;
  #loads = 0;
  #stopped = false;

  /**
   * @param {object} options
   * @param {PanelApi} options.api
   * @param {Scope} options.scope
   * @param {LogDocument} options.document
   * @param {LogView} options.view
   * @param {LoadHandlers} options.on
   */
  constructor({ api, scope, document, view, on }) {
    this.#api = api;
    this.#scope = scope;
    this.#document = document;
    this.#view = view;
    this.#on = on;
  }

  /** Ignore the answers to requests that are under way. */
  stop() {
    this.#stopped = true;
  }

  get isLoading() {
    return this.#loads > 0;
  }

  /**
   * Load a hole that is in sight, unless enough is under way: what is waited for is what is in sight now.
   * @param {Block} hole
   * @param {"start" | "end"} side
   */
  async loadVisible(hole, side) {
    if (this.#loads < LOADS_MAX) await this.#load(hole, side);
  }

  /**
   * Load a hole that the reader goes to.
   * @param {Block} hole
   * @param {"start" | "end"} side
   */
  async load(hole, side) {
    if (hole.loading) await hole.loading;
    await this.#load(hole, side);
  }

  /**
   * Load the lines around a line; returns the line, null if it is not there.
   * @param {string} id
   */
  async loadLine(id) {
    let target = this.#document.blockAt(id);
    if (target?.loading) {
      await target.loading;
      target = this.#document.blockAt(id);
    }
    if (target && target.entries === null) {
      if (target.counts !== null && totalOf(target.counts) <= WHOLE_HOLE_LINES) await this.load(target, "start");
      else await this.#open(target, id);
    }
    return this.#document.blockAt(id)?.entries?.find((each) => each.id === id) ?? null;
  }

  /**
   * Unload what is far from what is in sight, and from a line that was just fetched.
   * @param {Line} [fresh]
   */
  evict(fresh) {
    const log = this.#document;
    /** @type {Set<Block>} */
    const near = new Set();
    /** @param {string} key */
    const keep = (key) => {
      const block = log.blockAt(key);
      if (block) near.add(block);
    };
    // By keys and not by the blocks themselves: what was a hole a moment ago may be another block now.
    for (const row of this.#view.shownRows) keep(row.type === "line" ? row.entry.id : row.block.from);
    if (fresh) keep(fresh.id);
    if (log.lastBlock && (this.#view.following || near.size === 0)) near.add(log.lastBlock);
    log.evict(near, KEEP_LINES);
  }

  /**
   * @param {Block} hole
   * @param {"start" | "end"} side
   */
  async #load(hole, side) {
    if (!this.#document.blocks.includes(hole) || hole.loading || hole.failed) return;
    this.#loads++;
    hole.loading = this.#fetch(hole, side);
    await hole.loading;
    hole.loading = null;
    this.#loads--;
    if (!this.#stopped) this.#view.schedule();
  }

  /**
   * @param {Block} hole
   * @param {"start" | "end"} side
   */
  async #fetch(hole, side) {
    const lines = hole.counts === null ? Infinity : totalOf(hole.counts);
    const whole = lines <= WHOLE_HOLE_LINES;
    const atEnd = !whole && side === "end";
    try {
      /** @type {LogPage} */
      const page = await this.#api.get("/api/logs", {
        ...this.#scope.parameters,
        start: hole.from,
        before: hole.to,
        direction: atEnd ? "backward" : "forward",
        limit: whole ? lines + SPARE_LINES : BLOCK_LINES,
      }, AbortSignal.timeout(TIMEOUT_MS));
      if (this.#stopped) return;
      this.#document.fill(hole, page.lines, { more: page.more, atEnd });
      this.#on.gaps(page.gaps ?? []);
      this.evict(page.lines[0]);
      this.#on.loaded();
    } catch (error) {
      if (!this.#stopped) this.#failed(hole, error);
    }
  }

  /**
   * Load the middle of a hole.
   * @param {Block} hole
   * @param {string} id
   */
  async #open(hole, id) {
    const around = { ...this.#scope.parameters, limit: BLOCK_LINES / 2 };
    /** @type {Promise<[LogPage, LogPage]>} */
    const pages = Promise.all([
      this.#api.get("/api/logs", { ...around, start: hole.from, before: id, direction: "backward" }),
      this.#api.get("/api/logs", { ...around, start: id, before: hole.to, direction: "forward" }),
    ]);
    hole.loading = pages;
    try {
      const [before, after] = await pages;
      if (this.#stopped) return;
      this.#document.open(hole, before, after);
      this.evict(after.lines[0] ?? before.lines[0]);
    } finally {
      hole.loading = null;
    }
    this.#on.loaded();
  }

  /**
   * @param {Block} hole
   * @param {unknown} error
   */
  #failed(hole, error) {
    hole.failed = messageOf(error);
    const code = refusalCode(error);
    if (code) this.#on.tokenNeeded(code);
    else {
      setTimeout(() => {
        hole.failed = "";
        if (!this.#stopped) this.#view.refresh();
      }, RETRY_MS);
    }
    this.#view.refresh();
  }
}
