// Throughput, queue and cache over time, from the engine's own stats lines: a small chart each, with the figures of the
// time under the pointer. A click goes to that time.

/** @import { Messages, StatsPoint } from "../types.js" */

import { milliseconds } from "../log/line-key.js";
import { sharpContext } from "./canvas.js";
import { element } from "./dom.js";

const HEIGHT = 56;

/** @typedef {"generation" | "prompt" | "running" | "waiting" | "cache"} Figure */

export class Charts {
  /** @type {StatsPoint[]} */
  #points = [];
  #charts;
  #resized = new ResizeObserver(() => this.draw());

  /**
   * @param {Messages} t
   * @param {{onTime: (key: string) => void}} options
   */
  constructor(t, { onTime }) {
    const on = { point: (/** @type {StatsPoint | undefined} */ point) => this.#showFigures(point), time: onTime };
    const nearest = (/** @type {number} */ fraction) => this.#pointAt(fraction);
    const last = () => this.#points[this.#points.length - 1];
    this.#charts = [
      new Chart(["generation", "prompt"], [t.generation, t.prompt], { nearest, last, on }),
      new Chart(["running", "waiting"], [t.running, t.waiting], { nearest, last, on }),
      new Chart(["cache"], [t.cache], { nearest, last, on, top: 100 }),
    ];
    this.element = element("div", { class: "charts", hidden: true }, ...this.#charts.map((chart) => chart.element));
    this.#resized.observe(this.element);
  }

  destroy() {
    this.#resized.disconnect();
  }

  /** @param {StatsPoint[]} points in order of time */
  show(points) {
    this.#points = points;
    this.#showFigures(points[points.length - 1]);
    this.draw();
  }

  draw() {
    if (this.element.hidden) return;
    const style = getComputedStyle(this.element);
    const colors = [style.getPropertyValue("--accent"), style.getPropertyValue("--fg-faint")];
    for (const chart of this.#charts) chart.draw(this.#points, colors);
  }

  /** @param {StatsPoint | undefined} point */
  #showFigures(point) {
    for (const chart of this.#charts) chart.showFigures(point);
  }

  /** @param {number} fraction of the time from the first point to the last */
  #pointAt(fraction) {
    const points = this.#points;
    if (points.length < 2) return undefined;
    const first = milliseconds(points[0].time);
    const at = first + fraction * (milliseconds(points[points.length - 1].time) - first);
    return points.reduce((best, point) =>
      Math.abs(milliseconds(point.time) - at) < Math.abs(milliseconds(best.time) - at) ? point : best,
    );
  }
}

class Chart {
  /**
   * @param {Figure[]} names
   * @param {string[]} titles
   * @param {object} options
   * @param {(fraction: number) => StatsPoint | undefined} options.nearest
   * @param {() => StatsPoint | undefined} options.last
   * @param {{point: (point: StatsPoint | undefined) => void, time: (key: string) => void}} options.on
   * @param {number} [options.top] the value at the top; by default the largest one
   */
  constructor(names, titles, { nearest, last, on, top }) {
    this.names = names;
    this.top = top;
    this.canvas = element("canvas", { role: "img", "aria-label": titles.join(", ") });
    this.values = titles.map(() => element("b"));
    const keys = titles.map((title, index) =>
      element("span", { class: `key key-${index}` }, element("i"), `${title} `, this.values[index]),
    );
    this.element = element("figure", { class: "chart" }, element("figcaption", {}, ...keys), this.canvas);
    /** @param {MouseEvent} event */
    const pointOf = (event) => nearest(event.offsetX / this.canvas.clientWidth);
    this.canvas.addEventListener("click", (event) => {
      const point = pointOf(event);
      if (point) on.time(point.time);
    });
    this.canvas.addEventListener("mousemove", (event) => on.point(pointOf(event)));
    this.canvas.addEventListener("mouseleave", () => on.point(last()));
  }

  /** @param {StatsPoint | undefined} point */
  showFigures(point) {
    this.names.forEach((name, index) => {
      const value = point?.[name];
      this.values[index].textContent = value === undefined ? "–" : String(Math.round(value * 10) / 10);
    });
  }

  /**
   * @param {StatsPoint[]} points
   * @param {string[]} colors
   */
  draw(points, colors) {
    const width = this.canvas.clientWidth;
    if (!width) return;
    const context = sharpContext(this.canvas, width, HEIGHT);
    if (points.length < 2) return;
    const times = points.map((point) => milliseconds(point.time));
    const first = Math.min(...times);
    const span = Math.max(1, Math.max(...times) - first);
    const most = this.top ?? Math.max(1, ...points.flatMap((point) => this.names.map((name) => point[name] ?? 0)));
    /** @param {number} index */
    const x = (index) => ((times[index] - first) / span) * (width - 2) + 1;
    /** @param {number} value */
    const y = (value) => HEIGHT - 2 - (value / most) * (HEIGHT - 6);
    context.lineWidth = 1.5;
    context.lineJoin = "round";
    // The first figure is drawn last, over the others.
    for (let index = this.names.length - 1; index >= 0; index--) {
      context.strokeStyle = colors[index];
      context.beginPath();
      tracePath(context, points, this.names[index], x, y);
      context.stroke();
    }
  }
}

/**
 * Add a figure's path, a line of its own for each launch.
 * @param {CanvasRenderingContext2D} context
 * @param {StatsPoint[]} points
 * @param {Figure} name
 * @param {(index: number) => number} x
 * @param {(value: number) => number} y
 */
function tracePath(context, points, name, x, y) {
  for (const source of new Set(points.map((point) => point.source))) {
    let drawn = false;
    points.forEach((point, index) => {
      const value = point[name];
      if (value === undefined || point.source !== source) return;
      if (drawn) context.lineTo(x(index), y(value));
      else context.moveTo(x(index), y(value));
      drawn = true;
    });
  }
}
