// The selected lines: copies them, those that are not loaded too, or a link to the first.

/** @import { PanelApi } from "./api/panel-api.js" */
/** @import { Scope } from "./scope.js" */
/** @import { Attempt, Line, LineRow, LogPage } from "./types.js" */

import { plain } from "./log/ansi.js";
import { behind } from "./log/line-key.js";
import { rowText } from "./log/rows.js";
import { Selection } from "./log/selection.js";

const COPY_LINES_MAX = 50_000;
const PAGE_LINES = 5_000;

/** @typedef {{id: string, time: string, text: string, url: string}} SelectedLine */

export class SelectionController {
  #api;
  #scope;
  #base;
  #template;
  #attempt;
  #on;
  /** @type {Selection | null} */
  #selection = null;

  /**
   * @param {object} options
   * @param {PanelApi} options.api
   * @param {Scope} options.scope
   * @param {() => string} options.base the panel's address
   * @param {() => string} options.template the address of a line in the page around; "" for none
   * @param {Attempt} options.attempt
   * @param {object} options.on
   * @param {() => void} options.on.changed
   * @param {(line: SelectedLine) => void} options.on.selected one line was selected
   * @param {(text: string) => Promise<void>} options.on.copy
   */
  constructor({ api, scope, base, template, attempt, on }) {
    this.#api = api;
    this.#scope = scope;
    this.#base = base;
    this.#template = template;
    this.#attempt = attempt;
    this.#on = on;
  }

  get isEmpty() {
    return this.#selection === null;
  }

  /** The id of the first selected line; undefined if there is none. */
  get first() {
    return this.#selection?.from;
  }

  /** @param {LineRow} row */
  has(row) {
    return this.#selection?.has(row) ?? false;
  }

  clear() {
    this.#selection = null;
    this.#on.changed();
  }

  /**
   * A row's number was clicked.
   * @param {LineRow} row
   * @param {boolean} extend
   */
  click(row, extend) {
    this.#selection = Selection.after(this.#selection, row, extend);
    this.#on.changed();
    if (this.#selection && !extend) this.#report(row.entry, rowText(row));
  }

  /**
   * Select one line.
   * @param {string} id
   * @param {Line | null} line null if it is not there
   */
  select(id, line) {
    this.#selection = new Selection(id);
    this.#on.changed();
    if (line) this.#report(line, line.text);
  }

  async copyLink() {
    if (this.#selection) await this.#on.copy(this.linkTo(this.#selection.from));
  }

  async copyLines() {
    const selection = this.#selection;
    if (!selection) return;
    await this.#attempt(async () => {
      let text = "";
      for (const line of await this.#lines(selection)) text += plain(line.text) + (line.kind === "cut" ? "" : "\n");
      await this.#on.copy(text);
    });
  }

  /** @param {Selection} selection */
  async #lines({ from, to }) {
    /** @type {Line[]} */
    const lines = [];
    let start = from;
    for (let more = true; more && lines.length < COPY_LINES_MAX; ) {
      /** @type {LogPage} */
      const page = await this.#api.get("/api/logs", {
        ...this.#scope.parameters, start, before: behind(to), direction: "forward", limit: PAGE_LINES,
      });
      lines.push(...page.lines);
      ({ more } = page);
      if (page.lines.length) start = behind(page.lines[page.lines.length - 1].id);
    }
    return lines;
  }

  /**
   * @param {Line} line
   * @param {string} text
   */
  #report({ id, time }, text) {
    this.#on.selected({ id, time, text, url: this.linkTo(id) });
  }

  /**
   * The address of a line, in the page around if it has one.
   * @param {string} id
   */
  linkTo(id) {
    const template = this.#template();
    if (template) {
      const values = { "{traceId}": this.#scope.trace, "{line}": id };
      const filled = Object.entries(values).reduce((text, [name, value]) => text.replaceAll(name, encodeURIComponent(value)), template);
      return new URL(filled, location.href).href;
    }
    const link = new URL("/panel", this.#base());
    link.searchParams.set("traceId", this.#scope.trace);
    link.hash = `line=${id}`;
    return link.href;
  }
}
