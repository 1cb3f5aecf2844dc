// Which lines are selected: a range of ids, and the row that it was begun at.

/** @import { LineRow } from "../types.js" */

import { compareKeys } from "./line-key.js";

export class Selection {
  /**
   * @param {string} from the id of the first line
   * @param {string} [to] the id of the last line
   * @param {string} [anchor] where it was begun
   */
  constructor(from, to = from, anchor = from) {
    this.from = from;
    this.to = to;
    this.anchor = anchor;
  }

  /**
   * The selection after a click on a row: of it alone, up to it (extend), or none if it was the only one.
   * @param {Selection | null} before
   * @param {LineRow} row
   * @param {boolean} extend
   */
  static after(before, row, extend) {
    const { id } = row.entry;
    const first = row.parts[0].id;
    if (extend && before) {
      const { anchor } = before;
      return compareKeys(anchor, id) <= 0 ? new Selection(anchor, id, anchor) : new Selection(first, anchor, anchor);
    }
    return before?.from === first && before.to === id ? null : new Selection(first, id);
  }

  /** @param {LineRow} row */
  has(row) {
    return row.parts.some((part) => compareKeys(part.id, this.from) >= 0 && compareKeys(part.id, this.to) <= 0);
  }
}
