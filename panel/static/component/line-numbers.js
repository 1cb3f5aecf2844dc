// Finds the sizes of one document's holes from the server's index, which it builds in the background. Line numbers
// follow from the sizes.

/** @import { PanelApi } from "./api/panel-api.js" */
/** @import { LogDocument } from "./log/log-document.js" */
/** @import { Scope } from "./scope.js" */
/** @import { Block, LineIndex } from "./types.js" */

import { LAST } from "./log/line-key.js";

const INDEX_MS = 400; // between questions to a server that still counts
const LOADING_MS = 50; // before a hole that is being loaded is checked again

export class LineNumbers {
  #api;
  #scope;
  #document;
  #onChange;
  #isRunning = false;
  #stopped = false;

  /**
   * @param {object} options
   * @param {PanelApi} options.api
   * @param {Scope} options.scope
   * @param {LogDocument} options.document
   * @param {() => void} options.onChange
   */
  constructor({ api, scope, document, onChange }) {
    this.#api = api;
    this.#scope = scope;
    this.#document = document;
    this.#onChange = onChange;
  }

  stop() {
    this.#stopped = true;
  }

  /** Find the sizes that are unknown. With a filter there are no numbers. */
  async find() {
    if (this.#isRunning || this.#stopped || this.#scope.isFiltered) return;
    this.#isRunning = true;
    try {
      for (let hole = this.#document.unknownHole; hole; hole = this.#document.unknownHole) {
        await this.#size(hole);
        if (this.#stopped) return;
      }
    } catch {
      // Without an index there are no numbers; the log is read all the same.
    } finally {
      this.#isRunning = false;
    }
  }

  /** @param {Block} hole */
  async #size(hole) {
    const before = hole.to === LAST ? undefined : hole.to;
    /** @type {LineIndex} */
    const index = await this.#api.get("/api/logs/index", { ...this.#scope.parameters, before });
    if (this.#stopped) return;
    if (!index.complete) await pause(INDEX_MS);
    else if (hole.loading || !this.#document.blocks.includes(hole)) await pause(LOADING_MS);
    else {
      this.#document.sizeHole(hole, index);
      this.#onChange();
    }
  }
}

/** @param {number} milliseconds */
function pause(milliseconds) {
  return new Promise((resolve) => { setTimeout(resolve, milliseconds); });
}
