// The scrolled list: only the rows in sight are elements. Which ones is virtual-core's business; what a row looks like
// is the caller's.

import {
  elementScroll,
  observeElementOffset,
  observeElementRect,
  Virtualizer,
} from "../vendor/virtual-core/index.js";
import { totalOf } from "./document.js";
import { ROW_HOLE } from "./rows.js";

const HEIGHT_MAX = 12_000_000; // below what every browser can scroll (Firefox: 17.8 million pixels)
const END_PIXELS = 6;
const RESTING_MS = 90;

export class LogView {
  /** renderRow(element, row): fill a row's element. onHole(block, side): a hole came into sight. onMove(): scrolled. */
  constructor(scroller, sizer, { rowHeight, renderRow, onHole, onMove, onFollow }) {
    this.scroller = scroller;
    this.sizer = sizer;
    this.rowHeight = rowHeight;
    this.renderRow = renderRow;
    this.onHole = onHole;
    this.onMove = onMove;
    this.onFollow = onFollow;
    this.rows = [];
    this.wrap = false;
    this.following = false;
    this.elements = new Map();
    this.scheduled = 0;
    this.dragging = false;
    this.scale = 1;
    // Kept here, because asking the element for them while rows are written would lay out the page in between.
    this.height = scroller.clientHeight;
    this.topBefore = 0;
    this.topSeen = 0;
    this.virtualizer = new Virtualizer(this.options());
    this.unmount = this.virtualizer._didMount();
    this.virtualizer._willUpdate();
    this.listen();
  }

  options() {
    return {
      count: this.rows.length,
      getScrollElement: () => this.scroller,
      getItemKey: (index) => this.rows[index].key,
      estimateSize: (index) => this.estimate(this.rows[index]),
      observeElementRect,
      observeElementOffset,
      scrollToFn: elementScroll,
      overscan: 8,
      anchorTo: "end",
      followOnAppend: false,
      scrollEndThreshold: END_PIXELS,
      onChange: () => this.schedule(),
    };
  }

  estimate(row) {
    if (row.type !== ROW_HOLE) return this.rowHeight;
    const { counts, measured } = row.block;
    if (counts === null) return this.rowHeight * 3;
    return Math.max(this.rowHeight, (measured || totalOf(counts) * this.rowHeight) * this.scale);
  }

  /** Show these rows. What is in sight stays where it is; at the end it stays at the end while following. */
  setRows(rows) {
    const holes = rows.reduce((sum, row) => sum + (row.type === ROW_HOLE && row.block.counts ? totalOf(row.block.counts) : 0), 0);
    const room = Math.max(HEIGHT_MAX / 10, HEIGHT_MAX - rows.length * this.rowHeight);
    const scale = Math.min(1, room / Math.max(1, holes * this.rowHeight));
    if (scale !== this.scale) {
      this.scale = scale;
      for (const row of rows) if (row.type === ROW_HOLE) this.virtualizer.itemSizeCache.delete(row.key);
    }
    this.rows = rows;
    this.virtualizer.setOptions(this.options());
    this.render();
    this.virtualizer._willUpdate();
    if (this.following) this.toEnd();
  }

  setWrap(wrap) {
    this.wrap = wrap;
    this.scroller.classList.toggle("wrap", wrap);
    this.virtualizer.measure();
    this.clear();
    this.render();
    if (this.following) this.toEnd();
  }

  /** Let the rows in sight be made anew: what they show has changed. */
  refresh() {
    for (const element of this.elements.values()) element.row = null;
    this.schedule();
  }

  clear() {
    for (const element of this.elements.values()) element.remove();
    this.elements.clear();
  }

  schedule() {
    if (!this.scheduled) {
      this.scheduled = requestAnimationFrame(() => {
        this.scheduled = 0;
        this.render();
      });
    }
  }

  render() {
    const items = this.virtualizer.getVirtualItems();
    this.sizer.style.height = `${this.virtualizer.getTotalSize()}px`;
    const shown = new Set();
    let previous = null;
    for (const item of items) {
      const row = this.rows[item.index];
      if (!row) continue;
      shown.add(row.key);
      let element = this.elements.get(row.key);
      if (!element || element.row !== row) {
        if (!element) {
          element = document.createElement("div");
          this.elements.set(row.key, element);
        }
        element.row = row;
        element.setAttribute("data-index", String(item.index));
        this.renderRow(element, row);
      }
      // In the order in which they are read: for screen readers, and for text that is selected over several rows.
      const place = previous ? previous.nextSibling : this.sizer.firstChild;
      if (place !== element) this.sizer.insertBefore(element, place);
      previous = element;
      if (element.top !== item.start) {
        element.top = item.start;
        element.style.transform = `translateY(${item.start}px)`;
      }
      element.setAttribute("data-index", String(item.index));
      if (row.type === ROW_HOLE) {
        element.style.height = `${item.size}px`;
        this.needed(row.block, item);
      } else if (this.wrap || row.tall) this.virtualizer.measureElement(element);
    }
    for (const [key, element] of this.elements) {
      if (!shown.has(key)) {
        element.remove();
        this.elements.delete(key);
      }
    }
    this.topBefore = this.top;
    this.onMove();
  }

  /** A hole is in sight: say from which side it is looked at. */
  needed(block, item) {
    const { top, height } = this;
    const bottom = top + height;
    if (item.end < top - 400 || item.start > bottom + 400) return;
    if (Math.abs(top - this.topBefore) > height && !this.following) {
      // The scrollbar is being dragged through the log: load where it comes to rest, not what flies by.
      clearTimeout(this.resting);
      this.resting = setTimeout(() => this.schedule(), RESTING_MS);
      return;
    }
    this.onHole(block, item.start >= top - 40 ? "start" : "end");
  }

  /** The rows that are elements now: those in sight and a few around them. */
  get shownRows() {
    return this.virtualizer.getVirtualItems().map((item) => this.rows[item.index]).filter(Boolean);
  }

  /** The rows in sight, the first and the last of them. */
  visibleRows() {
    const { top } = this;
    const bottom = top + this.height;
    return this.virtualizer
      .getVirtualItems()
      .filter((item) => item.end > top && item.start < bottom)
      .map((item) => this.rows[item.index])
      .filter(Boolean);
  }

  get top() {
    return this.virtualizer.scrollOffset ?? 0;
  }

  get nearEnd() {
    return this.virtualizer.getTotalSize() - this.top - this.height <= END_PIXELS;
  }

  /** As the element itself has it now. */
  get atEnd() {
    return this.scroller.scrollHeight - this.scroller.scrollTop - this.scroller.clientHeight <= END_PIXELS;
  }

  toEnd() {
    this.virtualizer.scrollToEnd();
    // The browser tells of it later, perhaps together with a move back up.
    this.topSeen = this.scroller.scrollTop;
  }

  follow(following) {
    if (this.following === following) return;
    this.following = following;
    if (following) this.toEnd();
    this.onFollow(following);
  }

  scrollToKey(key, align = "center") {
    const index = this.rows.findIndex((row) => row.key === key || row.parts?.some((part) => part.id === key));
    if (index < 0) return false;
    this.follow(false);
    this.virtualizer.scrollToIndex(index, { align });
    return true;
  }

  listen() {
    const scroller = this.scroller;
    this.resized = new ResizeObserver(([entry]) => {
      this.height = entry.contentRect.height;
      if (this.following) this.toEnd();
    });
    this.resized.observe(scroller);
    scroller.addEventListener("wheel", (event) => event.deltaY < 0 && this.movedByHand(true), { passive: true });
    scroller.addEventListener("touchmove", () => this.movedByHand(false), { passive: true });
    scroller.addEventListener("pointerdown", (event) => {
      this.dragging = event.target === scroller; // the scrollbar
    });
    addEventListener("pointerup", (this.released = () => (this.dragging = false)));
    scroller.addEventListener(
      "scroll",
      () => {
        const { scrollTop } = scroller;
        const isUp = scrollTop < this.topSeen - 1;
        this.topSeen = scrollTop;
        if (this.dragging) this.movedByHand(false);
        else if (this.following && isUp && !this.atEnd) this.follow(false);
        else if (!this.following && this.atEnd && this.canFollow?.()) this.follow(true);
      },
      { passive: true },
    );
  }

  movedByHand(up) {
    if (up && this.scroller.scrollHeight > this.scroller.clientHeight) this.follow(false);
    else this.follow(this.atEnd && (this.canFollow?.() ?? true));
  }

  scrollBy(pixels) {
    if (pixels < 0) this.follow(false);
    this.scroller.scrollBy({ top: pixels });
  }

  destroy() {
    cancelAnimationFrame(this.scheduled);
    clearTimeout(this.resting);
    this.resized.disconnect();
    removeEventListener("pointerup", this.released);
    this.unmount?.();
    this.clear();
  }
}
