// Lines over time by level, as a strip of bars. What is in sight is marked; a click goes there.

/** @import { Histogram as Data, HistogramSlice, Messages, Zone } from "../types.js" */

import { dayAndTime } from "../log/format.js";
import { keyOf, milliseconds } from "../log/line-key.js";
import { LEVELS } from "../log/levels.js";
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

export class Histogram {
  /** @type {Data} */
  #data = { stepMs: 1000, slices: [] };
  #first = 0;
  #last = 0;
  #resized = new ResizeObserver(() => this.draw());

  /**
   * @param {Messages} t
   * @param {{zone: () => Zone, onTime: (key: string) => void}} options
   */
  constructor(t, { zone, onTime }) {
    this.canvas = element("canvas", { class: "bars", role: "img", "aria-label": t.histogram });
    this.range = element("div", { class: "range" });
    this.element = element("div", { class: "histogram", hidden: true }, this.canvas, this.range);
    this.element.addEventListener("click", (event) => {
      const at = this.#timeAt(event.offsetX);
      if (at !== null) onTime(keyOf(at));
    });
    this.element.addEventListener("mousemove", (event) => {
      const at = this.#timeAt(event.offsetX);
      this.element.title = at === null ? "" : `${dayAndTime(keyOf(at), zone())} ${this.#countsAt(at)}`;
    });
    this.#resized.observe(this.element);
  }

  destroy() {
    this.#resized.disconnect();
  }

  /** @param {Data} data */
  show(data) {
    const { stepMs, slices } = data;
    this.#data = data;
    this.#first = slices.length ? milliseconds(slices[0].time) : 0;
    this.#last = slices.length ? milliseconds(slices[slices.length - 1].time) + stepMs : 0;
    this.element.hidden = slices.length < 2;
    this.draw();
  }

  /**
   * Mark what is in sight.
   * @param {string | undefined} from key of the first line
   * @param {string | undefined} to key of the last line
   */
  mark(from, to) {
    if (!from || !to || this.#last <= this.#first) {
      this.range.hidden = true;
      return;
    }
    const width = this.#last - this.#first;
    const left = Math.max(0, Math.min(1, (milliseconds(from) - this.#first) / width));
    const right = Math.max(0, Math.min(1, (milliseconds(to) - this.#first) / width));
    this.range.hidden = false;
    this.range.style.left = `${left * 100}%`;
    this.range.style.width = `max(3px, ${(right - left) * 100}%)`;
  }

  draw() {
    const width = this.element.clientWidth;
    if (this.element.hidden || !width) return;
    const context = sharpContext(this.canvas, width, HEIGHT);
    const style = getComputedStyle(this.element);
    const colors = Object.fromEntries(DRAWN_LEVELS.map((level) => [level, style.getPropertyValue(COLORS[level])]));
    const { stepMs, slices } = this.#data;
    const most = Math.max(1, ...slices.map(totalOfSlice));
    const span = this.#last - this.#first;
    const bar = Math.max(1, Math.max(1.5, (width * stepMs) / span) - 0.75);
    for (const slice of slices) {
      const x = ((milliseconds(slice.time) - this.#first) / span) * width;
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
  }

  /**
   * The time at a place of the strip, in milliseconds; null without lines.
   * @param {number} x
   */
  #timeAt(x) {
    if (!this.#data.slices.length) return null;
    return this.#first + (x / Math.max(1, this.element.clientWidth)) * (this.#last - this.#first);
  }

  /** @param {number} time in milliseconds */
  #countsAt(time) {
    const slice = this.#data.slices.find((each) => {
      const from = milliseconds(each.time);
      return time >= from && time < from + this.#data.stepMs;
    });
    const levels = DRAWN_LEVELS.filter((level) => slice?.counts[level]);
    return levels.map((level) => `${level} ${slice?.counts[level]}`).join(", ");
  }
}

/** @param {HistogramSlice} slice */
function totalOfSlice(slice) {
  return DRAWN_LEVELS.reduce((sum, level) => sum + (slice.counts[level] ?? 0), 0);
}
