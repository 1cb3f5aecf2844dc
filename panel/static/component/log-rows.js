// The rows of a document in the view, and what was opened of them: folded records, long lines.

/** @import { LogDocument } from "./log/log-document.js" */
/** @import { LogView } from "./parts/log-view.js" */
/** @import { Look } from "./parts/row.js" */
/** @import { Block, LineRow, Messages, Row, Settings } from "./types.js" */

import { buildRows } from "./log/rows.js";
import { fillHole, fillRow } from "./parts/row.js";

const NUMBER_DIGITS_MIN = 3;

export class LogRows {
  #view;
  #settings;
  #text;
  #lookOf;
  #onSelect;
  #onRequest;
  /** @type {LogDocument | null} */
  #document = null;
  /** @type {Set<string>} */
  #unfolded = new Set();
  /** @type {Map<string, number>} The characters that are shown of a long line. */
  #characters = new Map();

  /**
   * @param {object} options
   * @param {LogView} options.view
   * @param {Settings} options.settings
   * @param {() => Messages} options.text
   * @param {(row: LineRow) => Omit<Look, "t" | "settings" | "characters">} options.lookOf
   * @param {(row: LineRow, extend: boolean) => void} options.onSelect
   * @param {(requestId: string) => void} options.onRequest
   */
  constructor({ view, settings, text, lookOf, onSelect, onRequest }) {
    this.#view = view;
    this.#settings = settings;
    this.#text = text;
    this.#lookOf = lookOf;
    this.#onSelect = onSelect;
    this.#onRequest = onRequest;
  }

  /** Forget what was opened. */
  reset() {
    this.#unfolded.clear();
    this.#characters.clear();
  }

  /** @param {LogDocument} document */
  show(document) {
    this.#document = document;
    this.#view.setNumberWidth(Math.max(NUMBER_DIGITS_MIN, String(document.total ?? 0).length));
    this.#view.setRows(buildRows(document.blocks, { fold: this.#settings.fold, unfolded: this.#unfolded }));
  }

  /**
   * Fill a row's element.
   * @param {HTMLElement} into
   * @param {Row} row
   */
  fill(into, row) {
    const t = this.#text();
    if (row.type === "hole") {
      fillHole(into, row.block, t, () => this.#retry(row.block));
      return;
    }
    const characters = this.#characters.get(row.key);
    fillRow(into, row, { t, settings: this.#settings, characters, ...this.#lookOf(row) }, {
      select: this.#onSelect,
      expand: (each, wanted) => this.#expand(each, wanted),
      unfold: (each) => this.#unfold(each),
      request: this.#onRequest,
    });
  }

  /** @param {Block} block */
  #retry(block) {
    block.failed = "";
    this.#view.refresh();
  }

  /**
   * @param {LineRow} row
   * @param {number} characters
   */
  #expand(row, characters) {
    this.#characters.set(row.key, characters);
    this.#view.refresh();
  }

  /** @param {LineRow} row */
  #unfold(row) {
    if (!this.#unfolded.delete(row.key)) this.#unfolded.add(row.key);
    if (this.#document) this.show(this.#document);
  }
}
