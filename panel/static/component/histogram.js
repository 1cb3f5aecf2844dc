// Lines over time by level: where in the log it was loud, where it broke, and where one is looking.

import { element } from "./dom.js";
import { dayAndTime } from "./format.js";
import { milliseconds } from "./keys.js";

const LEVELS = ["critical", "error", "warning", "info", "debug", "none"];
const HEIGHT = 30;

export class Histogram {
  constructor({ onTime, label }) {
    this.canvas = element("canvas", { class: "bars", role: "img", "aria-label": label });
    this.range = element("div", { class: "range" });
    this.element = element("div", { class: "histogram", hidden: true }, this.canvas, this.range);
    this.slices = [];
    this.element.addEventListener("click", (event) => {
      const at = this.timeAt(event.offsetX);
      if (at !== null) onTime(at);
    });
    this.element.addEventListener("mousemove", (event) => {
      const at = this.timeAt(event.offsetX);
      this.element.title = at === null ? "" : `${dayAndTime(at, this.zone)} ${this.told(at)}`;
    });
    this.resized = new ResizeObserver(() => this.draw());
    this.resized.observe(this.element);
    this.zone = "local";
  }

  destroy() {
    this.resized.disconnect();
  }

  show({ stepMs, slices }) {
    this.stepMs = stepMs;
    this.slices = slices;
    this.first = slices.length ? milliseconds(slices[0].time) : 0;
    this.last = slices.length ? milliseconds(slices[slices.length - 1].time) + stepMs : 0;
    this.element.hidden = slices.length < 2;
    this.draw();
  }

  timeAt(x) {
    if (!this.slices.length) return null;
    const at = this.first + (x / Math.max(1, this.element.clientWidth)) * (this.last - this.first);
    return `${Math.floor(at)}000000`;
  }

  told(key) {
    const at = milliseconds(key);
    const slice = this.slices.find((each) => {
      const from = milliseconds(each.time);
      return at >= from && at < from + this.stepMs;
    });
    if (!slice) return "";
    return LEVELS.filter((level) => slice.counts[level]).map((level) => `${level} ${slice.counts[level]}`).join(", ");
  }

  /** Mark what is in sight: from one line's id to another's. */
  mark(from, to) {
    if (!from || !to || this.last <= this.first) {
      this.range.hidden = true;
      return;
    }
    const width = this.last - this.first;
    const left = Math.max(0, Math.min(1, (milliseconds(from) - this.first) / width));
    const right = Math.max(0, Math.min(1, (milliseconds(to) - this.first) / width));
    this.range.hidden = false;
    this.range.style.left = `${left * 100}%`;
    this.range.style.width = `max(3px, ${(right - left) * 100}%)`;
  }

  draw() {
    const width = this.element.clientWidth;
    if (this.element.hidden || !width) return;
    const ratio = devicePixelRatio || 1;
    this.canvas.width = width * ratio;
    this.canvas.height = HEIGHT * ratio;
    const context = this.canvas.getContext("2d");
    context.scale(ratio, ratio);
    const style = getComputedStyle(this.element);
    const colors = {
      critical: style.getPropertyValue("--bad"),
      error: style.getPropertyValue("--bad"),
      warning: style.getPropertyValue("--bar-warn"),
      info: style.getPropertyValue("--bar-info"),
      debug: style.getPropertyValue("--bar-debug"),
      none: style.getPropertyValue("--bar-info"),
    };
    const most = Math.max(1, ...this.slices.map((slice) => LEVELS.reduce((sum, level) => sum + (slice.counts[level] ?? 0), 0)));
    const bar = Math.max(1.5, (width * this.stepMs) / (this.last - this.first));
    for (const slice of this.slices) {
      const x = ((milliseconds(slice.time) - this.first) / (this.last - this.first)) * width;
      let y = HEIGHT;
      for (const level of LEVELS) {
        const count = slice.counts[level] ?? 0;
        if (!count) continue;
        // A square root keeps one error visible beside a thousand lines.
        const height = Math.max(2, Math.sqrt(count / most) * (HEIGHT - 3));
        context.fillStyle = colors[level];
        context.fillRect(x, Math.max(0, y - height), Math.max(1, bar - 0.75), height);
        y -= height;
        if (y <= 0) break;
      }
    }
  }
}
