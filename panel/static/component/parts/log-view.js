// The scrolled list of rows: only those in sight are elements. virtual-core computes which ones; the caller fills them.
// It also finds out whether the reader follows the end or has moved away from it.

/** @import { Block, LineRow, Row } from "../types.js" */
/** @import { VirtualItem } from "../../vendor/virtual-core/index.js" */

import { elementScroll, observeElementOffset, observeElementRect, Virtualizer } from "../../vendor/virtual-core/index.js";
import { totalOf } from "../log/block.js";
import { element } from "./dom.js";

export const ROW_PIXELS = 20;
const HEIGHT_MAX = 12_000_000; // below what every browser can scroll (Firefox: 17.8 million pixels)
const END_PIXELS = 6;
const RESTING_MS = 90;
const LOAD_PIXELS = 400; // a hole this near to what is in sight is loaded
const UNKNOWN_ROWS = 3; // the height of a hole of unknown size

/** @typedef {HTMLElement & {row?: Row | null, top?: number}} RowElement */

/**
 * @typedef {object} ViewHandlers
 * @property {(element: HTMLElement, row: Row) => void} renderRow fills a row's element
 * @property {(block: Block, side: "start" | "end") => void} hole a hole came into sight, from this side of it
 * @property {() => void} moved what is in sight may have changed
 * @property {() => void} followed `following` changed
 * @property {() => boolean} canFollow whether the end of the list is the end of the log
 */

export class LogView {
  following = false;
  #on;
  /** @type {Row[]} */
  #rows = [];
  /** @type {Map<string, RowElement>} */
  #elements = new Map();
  #wrap = false;
  #scale = 1; // of holes, where all of them would be higher than a browser can scroll
  #frame = 0;
  #resting = 0;
  #dragging = false;
  #topBefore = 0;
  #topSeen = 0;
  #height = 0; // kept, since asking the element while rows are written would lay out the page in between
  #listening = new AbortController();
  #resized;
  #virtualizer;
  #unmount;

  /** @param {ViewHandlers} on */
  constructor(on) {
    this.#on = on;
    this.sizer = element("div", { class: "sizer", role: "presentation" });
    this.scroller = element("div", { class: "scroller", tabindex: "0", role: "log", "aria-live": "off" }, this.sizer);
    this.#virtualizer = new Virtualizer(this.#options());
    this.#unmount = this.#virtualizer._didMount();
    this.#resized = new ResizeObserver(([entry]) => {
      this.#height = entry.contentRect.height;
      if (this.following) this.toEnd();
    });
    this.#listen();
  }

  /** To be called once the scroller is in the page. */
  mount() {
    this.#height = this.scroller.clientHeight;
    this.#virtualizer._willUpdate();
    this.#resized.observe(this.scroller);
  }

  destroy() {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#resting);
    this.#resized.disconnect();
    this.#listening.abort();
    this.#unmount();
    this.#clear();
  }

  // --- what is shown ------------------------------------------------------------------------------------------------

  /**
   * Show these rows. What is in sight stays where it is; at the end it stays at the end while following.
   * @param {Row[]} rows
   */
  setRows(rows) {
    this.#rescale(rows);
    const inSight = this.#onlyMiddleChanges(rows) ? this.#inSight() : null;
    this.#rows = rows;
    this.#virtualizer.setOptions(this.#options());
    this.#render();
    this.#virtualizer._willUpdate();
    if (this.following) this.toEnd();
    else if (inSight) this.#bringBack(inSight);
  }

  /**
   * Whether the number of rows and the first and last of them stay: virtual-core then keeps the offset, and not what is in
   * sight, though a hole above it may have got its size.
   * @param {Row[]} rows
   */
  #onlyMiddleChanges(rows) {
    const before = this.#rows;
    return rows.length === before.length && rows[0]?.key === before[0]?.key && rows.at(-1)?.key === before.at(-1)?.key;
  }

  /** The row at the top, and how far above the top it begins: as the element has it, where a move has just begun, too. */
  #inSight() {
    const { scrollTop } = this.scroller;
    const item = this.#virtualizer.getVirtualItemForOffset(scrollTop);
    return item ? { key: item.key, above: scrollTop - item.start } : null;
  }

  /** @param {{key: number | string | bigint, above: number}} inSight */
  #bringBack({ key, above }) {
    const index = this.#rows.findIndex((row) => row.key === key);
    const [start] = (index >= 0 && this.#virtualizer.getOffsetForIndex(index, "start")) || [null];
    if (start !== null && start + above !== this.scroller.scrollTop) this.#virtualizer.scrollToOffset(start + above);
  }

  /** @param {boolean} wrap */
  setWrap(wrap) {
    this.#wrap = wrap;
    this.scroller.classList.toggle("wrap", wrap);
    this.#virtualizer.measure();
    this.#clear();
    this.#render();
    if (this.following) this.toEnd();
  }

  /** @param {number} digits the width of line numbers */
  setNumberWidth(digits) {
    this.sizer.style.setProperty("--numbers", `${digits}ch`);
  }

  /** Fill the rows in sight again: what they show has changed. */
  refresh() {
    for (const each of this.#elements.values()) each.row = null;
    this.schedule();
  }

  /** Render in the next frame. */
  schedule() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#render();
    });
  }

  /** The rows that are elements now: those in sight and a few around them. */
  get shownRows() {
    return this.#virtualizer.getVirtualItems().map((item) => this.#rows[item.index]).filter(Boolean);
  }

  /** The lines in sight. */
  get visibleLines() {
    const top = this.#top;
    const bottom = top + this.#height;
    /** @type {LineRow[]} */
    const visible = [];
    for (const item of this.#virtualizer.getVirtualItems()) {
      const row = this.#rows[item.index];
      if (row?.type === "line" && item.end > top && item.start < bottom) visible.push(row);
    }
    return visible;
  }

  // --- moving -------------------------------------------------------------------------------------------------------

  /** Whether the end of the list is in sight, as of the last event. */
  get nearEnd() {
    return this.#virtualizer.getTotalSize() - this.#top - this.#height <= END_PIXELS;
  }

  toStart() {
    this.#virtualizer.scrollToOffset(0);
  }

  toEnd() {
    this.#virtualizer.scrollToEnd();
    // Its scroll event comes later, perhaps as one with that of a move back up.
    this.#topSeen = this.scroller.scrollTop;
  }

  /** @param {boolean} following */
  follow(following) {
    if (this.following === following) return;
    this.following = following;
    if (following) this.toEnd();
    this.#on.followed();
  }

  /**
   * Scroll to the row of a line; returns whether there is one.
   * @param {string} id
   * @param {"start" | "center"} [align]
   */
  scrollToLine(id, align = "center") {
    const index = this.#rows.findIndex(
      (row) => row.type === "line" && (row.key === id || row.parts.some((part) => part.id === id)),
    );
    if (index < 0) return false;
    this.follow(false);
    this.#virtualizer.scrollToIndex(index, { align });
    return true;
  }

  /** @param {number} rows negative: up */
  scrollByRows(rows) {
    this.#scrollBy(rows * ROW_PIXELS);
  }

  /** @param {number} pages negative: up */
  scrollByPages(pages) {
    this.#scrollBy(pages * (this.scroller.clientHeight - ROW_PIXELS * 2));
  }

  /** @param {number} pixels */
  #scrollBy(pixels) {
    if (pixels < 0) this.follow(false);
    this.scroller.scrollBy({ top: pixels });
  }

  // --- rows as elements ---------------------------------------------------------------------------------------------

  #options() {
    return {
      count: this.#rows.length,
      getScrollElement: () => this.scroller,
      getItemKey: (/** @type {number} */ index) => this.#rows[index].key,
      estimateSize: (/** @type {number} */ index) => this.#estimate(this.#rows[index]),
      observeElementRect,
      observeElementOffset,
      scrollToFn: elementScroll,
      overscan: 8,
      anchorTo: /** @type {const} */ ("end"),
      followOnAppend: false,
      scrollEndThreshold: END_PIXELS,
      onChange: () => this.schedule(),
    };
  }

  /** @param {Row} row */
  #estimate(row) {
    if (row.type === "line") return ROW_PIXELS;
    const { counts } = row.block;
    if (counts === null) return ROW_PIXELS * UNKNOWN_ROWS;
    return Math.max(ROW_PIXELS, totalOf(counts) * ROW_PIXELS * this.#scale);
  }

  /**
   * Make holes lower where the list would be too high.
   * @param {Row[]} rows
   */
  #rescale(rows) {
    let lines = 0;
    for (const row of rows) if (row.type === "hole" && row.block.counts) lines += totalOf(row.block.counts);
    const left = Math.max(HEIGHT_MAX / 10, HEIGHT_MAX - rows.length * ROW_PIXELS);
    const scale = Math.min(1, left / Math.max(1, lines * ROW_PIXELS));
    if (scale === this.#scale) return;
    this.#scale = scale;
    for (const row of rows) if (row.type === "hole") this.#virtualizer.itemSizeCache.delete(row.key);
  }

  #clear() {
    for (const each of this.#elements.values()) each.remove();
    this.#elements.clear();
  }

  #render() {
    const items = this.#virtualizer.getVirtualItems();
    this.sizer.style.height = `${this.#virtualizer.getTotalSize()}px`;
    const shown = new Set();
    /** @type {RowElement | null} */
    let previous = null;
    for (const item of items) {
      const row = this.#rows[item.index];
      if (!row) continue;
      shown.add(row.key);
      previous = this.#renderItem(item, row, previous);
    }
    for (const [key, each] of this.#elements) {
      if (shown.has(key)) continue;
      each.remove();
      this.#elements.delete(key);
    }
    this.#topBefore = this.#top;
    this.#on.moved();
  }

  /**
   * @param {VirtualItem} item
   * @param {Row} row
   * @param {RowElement | null} previous the element of the row before it
   */
  #renderItem(item, row, previous) {
    let made = this.#elements.get(row.key);
    if (!made) {
      made = document.createElement("div");
      this.#elements.set(row.key, made);
    }
    made.setAttribute("data-index", String(item.index));
    if (made.row !== row) {
      made.row = row;
      this.#on.renderRow(made, row);
    }
    // In the order in which they are read: for screen readers, and for text that is selected over several rows.
    const place = previous ? previous.nextSibling : this.sizer.firstChild;
    if (place !== made) this.sizer.insertBefore(made, place);
    if (made.top !== item.start) {
      made.top = item.start;
      made.style.transform = `translateY(${item.start}px)`;
    }
    if (row.type === "hole") {
      made.style.height = `${item.size}px`;
      this.#reportHole(row.block, item);
    } else if (this.#wrap) this.#virtualizer.measureElement(made);
    return made;
  }

  /**
   * Report a hole that is in sight, unless it only flies by.
   * @param {Block} block
   * @param {VirtualItem} item
   */
  #reportHole(block, item) {
    const top = this.#top;
    const height = this.#height;
    if (item.end < top - LOAD_PIXELS || item.start > top + height + LOAD_PIXELS) return;
    if (Math.abs(top - this.#topBefore) > height && !this.following) {
      // The scrollbar is being dragged through the log: load where it comes to rest.
      clearTimeout(this.#resting);
      this.#resting = setTimeout(() => this.schedule(), RESTING_MS);
      return;
    }
    this.#on.hole(block, item.start >= top - ROW_PIXELS * 2 ? "start" : "end");
  }

  // --- following ----------------------------------------------------------------------------------------------------

  get #top() {
    return this.#virtualizer.scrollOffset ?? 0;
  }

  /** Whether the end is in sight, as the element has it now. */
  get #atEnd() {
    return this.scroller.scrollHeight - this.scroller.scrollTop - this.scroller.clientHeight <= END_PIXELS;
  }

  #listen() {
    const { scroller } = this;
    const passive = { passive: true };
    scroller.addEventListener("wheel", (event) => { if (event.deltaY < 0) this.#movedByHand(true); }, passive);
    scroller.addEventListener("touchmove", () => this.#movedByHand(false), passive);
    scroller.addEventListener("pointerdown", (event) => {
      this.#dragging = event.target === scroller; // the scrollbar
    });
    scroller.addEventListener("scroll", () => this.#scrolled(), passive);
    addEventListener("pointerup", () => { this.#dragging = false; }, { signal: this.#listening.signal });
  }

  #scrolled() {
    const { scrollTop } = this.scroller;
    const isUp = scrollTop < this.#topSeen - 1;
    this.#topSeen = scrollTop;
    if (this.#dragging) this.#movedByHand(false);
    else if (this.following && isUp && !this.#atEnd) this.follow(false);
    else if (!this.following && this.#atEnd && this.#on.canFollow()) this.follow(true);
  }

  /** @param {boolean} up */
  #movedByHand(up) {
    if (up && this.scroller.scrollHeight > this.scroller.clientHeight) this.follow(false);
    else this.follow(this.#atEnd && this.#on.canFollow());
  }
}
