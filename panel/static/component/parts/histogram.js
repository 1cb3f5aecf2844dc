// Lines over time by level, as a strip of bars over an axis of times. What is in sight is marked; a click goes there,
// dragging over a part of it shows that part alone. By keyboard: the arrows move over the bars, Enter goes there, + and
// - show less and more.

/** @import { Histogram as Data, HistogramSlice, Messages, TimeRange, Zone } from "../types.js" */

import { dayAndTime } from "../log/format.js";
import { keyOf, milliseconds } from "../log/line-key.js";
import { LEVELS } from "../log/levels.js";
import { ticksOf } from "../log/ticks.js";
import { sharpContext } from "./canvas.js";
import { element } from "./dom.js";

const DRAWN_LEVELS = [...LEVELS].reverse().concat("none"); // from the bottom up
/** @type {Record<string, string>} */
const COLORS = {
  critical: "--bad",
  error: "--bad",
  warning: "--bar-warn",
  info: "--bar-info",
  debug: "--bar-debug",
  none: "--bar-info",
};
const HEIGHT = 30;
const TICK_PX = 90;
const DRAG_PX = 5;
const ZOOM = 4; // how much less + shows

export class Histogram {
  #text;
  #zone;
  #on;
  /** @type {Data} */
  #data = { stepMs: 1000, slices: [] };
  #first = 0;
  #last = 0;
  /** @type {number | null} Where the arrows are, in milliseconds. */
  #cursor = null;
  /** @type {number | null} Where dragging began, in pixels. */
  #dragFrom = null;
  #resized = new ResizeObserver(() => this.draw());

  /**
   * @param {Messages} t
   * @param {object} options
   * @param {() => Zone} options.zone
   * @param {(key: string) => void} options.onTime
   * @param {(range: TimeRange | null) => void} options.onZoom show only this part; null: all
   */
  constructor(t, { zone, onTime, onZoom }) {
    this.#text = t;
    this.#zone = zone;
    this.#on = { time: onTime, zoom: onZoom };
    this.canvas = element("canvas", { class: "bars" });
    this.range = element("div", { class: "range" });
    this.brush = element("div", { class: "brush", hidden: true });
    this.axis = element("div", { class: "axis" });
    this.bars = element("div", { class: "histogram-bars", role: "slider", tabindex: "0", "aria-label": t.histogram },
      this.canvas, this.range, this.brush, this.axis);
    this.peak = element("span", { class: "peak" });
    this.whole = element("button", { class: "whole", type: "button", hidden: true, onclick: () => onZoom(null) });
    this.element = element("div", { class: "histogram", hidden: true }, this.bars, this.peak, this.whole);
    this.#listen();
    this.#resized.observe(this.element);
  }

  destroy() {
    this.#resized.disconnect();
  }

  /**
   * @param {Data} data
   * @param {TimeRange | null} zoom the part that the data is of; null: all
   */
  show(data, zoom) {
    const { stepMs, slices } = data;
    this.#data = data;
    this.#cursor = null;
    if (zoom) {
      this.#first = milliseconds(zoom.from);
      this.#last = milliseconds(zoom.to);
    } else {
      this.#first = slices.length ? milliseconds(slices[0].time) : 0;
      this.#last = slices.length ? milliseconds(slices[slices.length - 1].time) + stepMs : 0;
    }
    this.element.hidden = slices.length < 2 && !zoom;
    this.whole.hidden = !zoom;
    this.whole.textContent = this.#text.wholeTime;
    this.draw();
  }

  /**
   * Mark what is in sight.
   * @param {string | undefined} from key of the first line
   * @param {string | undefined} to key of the last line
   */
  mark(from, to) {
    const [left, right] = from && to ? [this.#fraction(milliseconds(from)), this.#fraction(milliseconds(to))] : [0, 0];
    this.range.hidden = !from || !to || this.#last <= this.#first || left > 1 || right < 0;
    if (this.range.hidden) return;
    place(this.range, Math.max(0, left), Math.min(1, right));
  }

  draw() {
    const width = this.bars.clientWidth;
    if (this.element.hidden || !width) return;
    const context = sharpContext(this.canvas, width, HEIGHT);
    const style = getComputedStyle(this.element);
    const colors = Object.fromEntries(DRAWN_LEVELS.map((level) => [level, style.getPropertyValue(COLORS[level])]));
    const { stepMs, slices } = this.#data;
    const most = Math.max(1, ...slices.map(totalOfSlice));
    const bar = Math.max(1, Math.max(1.5, (width * stepMs) / (this.#last - this.#first)) - 0.75);
    for (const slice of slices) drawBar(context, slice, { x: this.#fraction(milliseconds(slice.time)) * width, bar, most, colors });
    this.peak.textContent = slices.length ? this.#text.peak(most.toLocaleString(), stepMs / 1000) : "";
    this.#showAxis(width);
    this.#describe(this.#cursor ?? this.#first);
  }

  #listen() {
    const { bars } = this;
    bars.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.#dragFrom = this.#xOf(event);
      bars.setPointerCapture(event.pointerId);
    });
    bars.addEventListener("pointermove", (event) => this.#moved(this.#xOf(event)));
    bars.addEventListener("pointerup", (event) => this.#released(this.#xOf(event)));
    bars.addEventListener("pointercancel", () => this.#stopDragging());
    bars.addEventListener("keydown", (event) => this.#key(event));
    bars.addEventListener("blur", () => { this.brush.hidden = true; });
  }

  /** @param {PointerEvent} event */
  #xOf(event) {
    return Math.max(0, Math.min(this.bars.clientWidth, event.clientX - this.bars.getBoundingClientRect().left));
  }

  /** @param {number} x */
  #moved(x) {
    this.bars.title = this.#data.slices.length ? this.#textOf(this.#timeAt(x)) : "";
    if (this.#dragFrom === null || Math.abs(x - this.#dragFrom) < DRAG_PX) return;
    const width = Math.max(1, this.bars.clientWidth);
    this.brush.hidden = false;
    place(this.brush, Math.min(x, this.#dragFrom) / width, Math.max(x, this.#dragFrom) / width);
  }

  /** @param {number} x */
  #released(x) {
    const from = this.#dragFrom;
    if (from === null || !this.#data.slices.length) return;
    this.#stopDragging();
    if (Math.abs(x - from) < DRAG_PX) this.#on.time(keyOf(this.#timeAt(x)));
    else this.#zoomTo(this.#timeAt(Math.min(x, from)), this.#timeAt(Math.max(x, from)));
  }

  #stopDragging() {
    this.#dragFrom = null;
    this.brush.hidden = true;
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const { stepMs, slices } = this.#data;
    if (!slices.length || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = this.#cursor ?? this.#first;
    const half = (this.#last - this.#first) / ZOOM / 2;
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowRight: () => this.#moveTo(at + stepMs),
      ArrowLeft: () => this.#moveTo(at - stepMs),
      Home: () => this.#moveTo(this.#first),
      End: () => this.#moveTo(this.#last - stepMs),
      Enter: () => this.#on.time(keyOf(at)),
      "+": () => this.#zoomTo(at - half, at + half),
      "-": () => this.#on.zoom(null),
    };
    if (!Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    keys[event.key]();
  }

  /** @param {number} time in milliseconds */
  #moveTo(time) {
    const { stepMs } = this.#data;
    this.#cursor = Math.max(this.#first, Math.min(this.#last - stepMs, time));
    const left = this.#fraction(this.#cursor);
    this.brush.hidden = false;
    place(this.brush, left, left + stepMs / (this.#last - this.#first));
    this.#describe(this.#cursor);
  }

  /**
   * @param {number} from in milliseconds
   * @param {number} to
   */
  #zoomTo(from, to) {
    const [first, last] = [Math.max(this.#first, Math.floor(from)), Math.min(this.#last, Math.ceil(to))];
    if (last > first) this.#on.zoom({ from: keyOf(first), to: keyOf(last) });
  }

  /** @param {number} time in milliseconds */
  #fraction(time) {
    return (time - this.#first) / Math.max(1, this.#last - this.#first);
  }

  /** @param {number} x */
  #timeAt(x) {
    return this.#first + (x / Math.max(1, this.bars.clientWidth)) * (this.#last - this.#first);
  }

  /** @param {number} width */
  #showAxis(width) {
    const ticks = ticksOf(this.#first, this.#last, { most: Math.max(1, Math.floor(width / TICK_PX)), zone: this.#zone() });
    this.axis.replaceChildren(...ticks.map(({ at, label }) => {
      const tick = element("span", {}, label);
      tick.style.left = `${this.#fraction(at) * 100}%`;
      return tick;
    }));
  }

  /**
   * What a screen reader says of a time.
   * @param {number} time in milliseconds
   */
  #describe(time) {
    this.bars.setAttribute("aria-valuemin", String(this.#first));
    this.bars.setAttribute("aria-valuemax", String(this.#last));
    this.bars.setAttribute("aria-valuenow", String(time));
    this.bars.setAttribute("aria-valuetext", this.#textOf(time));
  }

  /** @param {number} time in milliseconds */
  #textOf(time) {
    const slice = this.#data.slices.find((each) => {
      const from = milliseconds(each.time);
      return time >= from && time < from + this.#data.stepMs;
    });
    const levels = DRAWN_LEVELS.filter((level) => slice?.counts[level]);
    const counts = levels.map((level) => `${level} ${slice?.counts[level]}`).join(", ");
    return `${dayAndTime(keyOf(time), this.#zone())} ${counts}`.trim();
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {HistogramSlice} slice
 * @param {{x: number, bar: number, most: number, colors: Record<string, string>}} how
 */
function drawBar(context, slice, { x, bar, most, colors }) {
  let y = HEIGHT;
  for (const level of DRAWN_LEVELS) {
    const count = slice.counts[level] ?? 0;
    if (!count) continue;
    // A square root keeps one error visible beside a thousand lines.
    const height = Math.max(2, Math.sqrt(count / most) * (HEIGHT - 3));
    context.fillStyle = colors[level];
    context.fillRect(x, Math.max(0, y - height), bar, height);
    y -= height;
    if (y <= 0) break;
  }
}

/**
 * @param {HTMLElement} mark
 * @param {number} left from 0 to 1
 * @param {number} right
 */
function place(mark, left, right) {
  mark.style.left = `${left * 100}%`;
  mark.style.width = `max(3px, ${(right - left) * 100}%)`;
}

/** @param {HistogramSlice} slice */
function totalOfSlice(slice) {
  return DRAWN_LEVELS.reduce((sum, level) => sum + (slice.counts[level] ?? 0), 0);
}
