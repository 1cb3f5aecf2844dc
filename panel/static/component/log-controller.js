// The log that is shown: its document, the pages that fill it, and the lines that arrive. Each reload begins a new
// document; answers to requests for the one before it are ignored.

/** @import { PanelApi } from "./api/panel-api.js" */
/** @import { LogRows } from "./log-rows.js" */
/** @import { LogView } from "./parts/log-view.js" */
/** @import { Scope } from "./scope.js" */
/** @import { Block, Gap, Line, LogPage } from "./types.js" */

import { refusalCode } from "./api/panel-api.js";
import { BlockLoader } from "./block-loader.js";
import { LineNumbers } from "./line-numbers.js";
import { BLOCK_LINES, FIRST_PAGE_LINES } from "./log/block.js";
import { FIRST } from "./log/line-key.js";
import { LogDocument } from "./log/log-document.js";

const FILTERED_MS = 300;
const LAST_OF_NANOSECOND = "ffffffffffffffff";

/**
 * @typedef {object} LogHandlers
 * @property {() => void} changed rows, numbers or `unseen` changed
 * @property {(gap: Gap) => void} gap lines could not be read
 * @property {(code: string) => void} tokenNeeded
 */

export class LogController {
  document = new LogDocument();
  /** Lines that came while the reader was elsewhere. */
  unseen = 0;
  #api;
  #scope;
  #view;
  #rows;
  #on;
  #loader;
  #numbers;
  /** @type {Line[]} Lines that arrived and are not in the document. */
  #pending = [];
  #frame = 0;
  #filteredTimer = 0;

  /**
   * @param {object} options
   * @param {PanelApi} options.api
   * @param {Scope} options.scope
   * @param {LogView} options.view
   * @param {LogRows} options.rows
   * @param {LogHandlers} options.on
   */
  constructor({ api, scope, view, rows, on }) {
    this.#api = api;
    this.#scope = scope;
    this.#view = view;
    this.#rows = rows;
    this.#on = on;
    this.#loader = this.#newLoader();
    this.#numbers = this.#newNumbers();
  }

  destroy() {
    this.#stop();
    this.document = new LogDocument();
  }

  /** The reader is at the end. */
  markSeen() {
    if (this.unseen === 0) return;
    this.unseen = 0;
    this.#on.changed();
  }

  // --- pages --------------------------------------------------------------------------------------------------------

  /** Begin a new, empty document. Nothing is shown of it yet. */
  begin() {
    this.#stop();
    this.document = new LogDocument();
    this.#loader = this.#newLoader();
    this.#numbers = this.#newNumbers();
    this.#pending = [];
    this.unseen = 0;
    this.#rows.reset();
  }

  /** Show the document as it is now. */
  show() {
    this.#rows.show(this.document);
    this.#on.changed();
  }

  /**
   * Show the newest lines, and follow.
   * @param {LogPage} page
   */
  showNewest(page) {
    this.document.reset(page.lines, { before: page.more, after: false });
    this.#addGaps(page.gaps ?? []);
    this.show();
    this.#view.follow(true);
    void this.#numbers.find();
  }

  /**
   * Load the log again with the scope of now, around a line, else around what is in sight. Returns false if begin() came
   * between.
   * @param {string} [around] the id of a line
   */
  async reload(around) {
    const { following } = this.#view;
    const seen = this.#view.visibleLines[0]?.entry.id;
    this.begin();
    if (around) return this.#reloadAround(around, "center");
    return following || !seen ? this.#reloadNewest() : this.#reloadAround(seen, "start");
  }

  async #reloadNewest() {
    const log = this.document;
    const page = await this.#api.get("/api/logs", { ...this.#scope.parameters, limit: FIRST_PAGE_LINES });
    if (this.document !== log) return false;
    this.showNewest(page);
    return true;
  }

  /**
   * @param {string} id
   * @param {"start" | "center"} align where in sight the line comes
   */
  async #reloadAround(id, align) {
    const log = this.document;
    const around = { ...this.#scope.parameters, limit: FIRST_PAGE_LINES / 2 };
    /** @type {[LogPage, LogPage]} */
    const [before, after] = await Promise.all([
      this.#api.get("/api/logs", { ...around, before: id, direction: "backward" }),
      this.#api.get("/api/logs", { ...around, start: id, direction: "forward" }),
    ]);
    if (this.document !== log) return false;
    log.reset([...before.lines, ...after.lines], { before: before.more, after: after.more });
    this.show();
    const place = after.lines[0] ?? before.lines[before.lines.length - 1];
    if (place) this.#view.scrollToLine(place.id, align);
    void this.#numbers.find();
    return true;
  }

  // --- holes --------------------------------------------------------------------------------------------------------

  get isLoading() {
    return this.#loader.isLoading;
  }

  /**
   * @param {Block} hole
   * @param {"start" | "end"} side
   */
  loadVisible(hole, side) {
    return this.#loader.loadVisible(hole, side);
  }

  /**
   * @param {Block} hole
   * @param {"start" | "end"} side
   */
  load(hole, side) {
    return this.#loader.load(hole, side);
  }

  /** @param {string} id */
  loadLine(id) {
    return this.#loader.loadLine(id);
  }

  // --- lines that arrive --------------------------------------------------------------------------------------------

  /**
   * @param {Line[]} lines
   * @param {Gap[]} gaps
   */
  receive(lines, gaps) {
    this.#addGaps(gaps);
    if (this.#scope.isFiltered) {
      this.#filteredTimer ||= setTimeout(() => this.#fetchFiltered(), FILTERED_MS);
      return;
    }
    this.#pending.push(...lines);
    // A page in the background gets no frames; its lines are added all the same.
    if (document.hidden) this.#addPending();
    else this.#frame ||= requestAnimationFrame(() => this.#addPending());
  }

  #addPending() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const { launch } = this.#scope;
    const lines = launch ? this.#pending.filter((line) => line.source === launch) : this.#pending;
    this.#pending = [];
    this.#added(this.document.add(lines));
  }

  /** With a filter the server chooses the lines: ask for the new ones among them, at most every FILTERED_MS. */
  async #fetchFiltered() {
    const log = this.document;
    try {
      for (let more = log.tailIsLoaded; more && this.document === log; ) {
        const after = log.last?.id;
        /** @type {LogPage} */
        const page = await this.#api.get("/api/logs", {
          ...this.#scope.parameters, ...(after ? { after } : { start: FIRST }), direction: "forward", limit: BLOCK_LINES,
        });
        if (this.document !== log) return;
        this.#added(log.add(page.lines));
        ({ more } = page);
      }
    } catch (error) {
      const code = refusalCode(error);
      if (code) this.#on.tokenNeeded(code);
    } finally {
      if (this.document === log) this.#filteredTimer = 0;
    }
  }

  /** @param {number} count */
  #added(count) {
    if (!count) return;
    if (!this.#view.following) this.unseen += count;
    this.#loader.evict();
    this.show();
  }

  /** @param {Gap[]} gaps */
  #addGaps(gaps) {
    for (const gap of gaps) {
      this.#on.gap(gap);
      const id = `${gap.time}-${LAST_OF_NANOSECOND}`;
      this.document.add([{ id, time: gap.time, source: "", kind: "gap", text: "" }]);
    }
  }

  // --- of one document ----------------------------------------------------------------------------------------------

  #newLoader() {
    return new BlockLoader({
      api: this.#api,
      scope: this.#scope,
      document: this.document,
      view: this.#view,
      on: {
        loaded: () => {
          this.show();
          void this.#numbers.find();
        },
        gaps: (gaps) => this.#addGaps(gaps),
        tokenNeeded: this.#on.tokenNeeded,
      },
    });
  }

  #newNumbers() {
    const options = { api: this.#api, scope: this.#scope, document: this.document };
    return new LineNumbers({ ...options, onChange: () => this.show() });
  }

  #stop() {
    this.#loader.stop();
    this.#numbers.stop();
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#filteredTimer);
    this.#frame = this.#filteredTimer = 0;
  }
}
