// Throughput, queue and cache over time, from the engine's own stats lines.

import { element } from "./dom.js";
import { milliseconds } from "./keys.js";

const HEIGHT = 56;
const POINTS_MAX = 900;
const STATS = /throughput.*?: [\d.]+/;

export class Charts {
  constructor(text, { onTime }) {
    this.points = [];
    this.charts = [
      { names: ["generation", "prompt"], title: [text.generation, text.prompt] },
      { names: ["running", "waiting"], title: [text.running, text.waiting] },
      { names: ["cache"], title: [text.cache], most: 100 },
    ].map((chart) => {
      const canvas = element("canvas", { role: "img", "aria-label": chart.title.join(", ") });
      const values = chart.title.map((title, index) =>
        element("span", { class: `key key-${index}` }, element("i", {}), `${title} `, element("b", {})),
      );
      const box = element("figure", { class: "chart" }, element("figcaption", {}, ...values), canvas);
      canvas.addEventListener("click", (event) => {
        const point = this.pointAt(event.offsetX / canvas.clientWidth);
        if (point) onTime(point.time);
      });
      canvas.addEventListener("mousemove", (event) => this.tell(this.pointAt(event.offsetX / canvas.clientWidth)));
      canvas.addEventListener("mouseleave", () => this.tell(this.points[this.points.length - 1]));
      return { ...chart, canvas, box, values };
    });
    this.element = element("div", { class: "charts", hidden: true }, ...this.charts.map((chart) => chart.box));
    this.resized = new ResizeObserver(() => this.draw());
    this.resized.observe(this.element);
  }

  destroy() {
    this.resized.disconnect();
  }

  show(points) {
    this.points = points;
    this.tell(points[points.length - 1]);
    this.draw();
  }

  /** Take the figures of lines that arrived. */
  take(lines) {
    let taken = false;
    for (const line of lines) {
      if (line.kind === "event" || !STATS.test(line.text)) continue;
      const point = figures(line);
      if (!point) continue;
      this.points.push(point);
      taken = true;
    }
    if (this.points.length > POINTS_MAX) this.points.splice(0, this.points.length - POINTS_MAX);
    if (taken && !this.element.hidden) this.show(this.points);
  }

  pointAt(fraction) {
    if (this.points.length < 2) return null;
    const first = milliseconds(this.points[0].time);
    const last = milliseconds(this.points[this.points.length - 1].time);
    const at = first + fraction * (last - first);
    return this.points.reduce((best, point) =>
      Math.abs(milliseconds(point.time) - at) < Math.abs(milliseconds(best.time) - at) ? point : best,
    );
  }

  tell(point) {
    for (const chart of this.charts) {
      chart.names.forEach((name, index) => {
        const value = point?.[name];
        chart.values[index].querySelector("b").textContent = value === undefined ? "–" : String(Math.round(value * 10) / 10);
      });
    }
  }

  draw() {
    if (this.element.hidden) return;
    const style = getComputedStyle(this.element);
    const colors = [style.getPropertyValue("--accent"), style.getPropertyValue("--fg-faint")];
    for (const chart of this.charts) {
      const width = chart.canvas.clientWidth;
      if (!width) continue;
      const ratio = devicePixelRatio || 1;
      chart.canvas.width = width * ratio;
      chart.canvas.height = HEIGHT * ratio;
      const context = chart.canvas.getContext("2d");
      context.scale(ratio, ratio);
      if (this.points.length < 2) continue;
      const times = this.points.map((point) => milliseconds(point.time));
      const first = Math.min(...times);
      const span = Math.max(1, Math.max(...times) - first);
      const sources = [...new Set(this.points.map((point) => point.source))];
      const most = chart.most ?? Math.max(1, ...this.points.flatMap((point) => chart.names.map((name) => point[name] ?? 0)));
      [...chart.names].reverse().forEach((name) => {
        const index = chart.names.indexOf(name);
        context.beginPath();
        // Each launch has a line of its own.
        for (const source of sources) {
          let drawn = false;
          this.points.forEach((point, place) => {
            if (point[name] === undefined || point.source !== source) return;
            const x = ((times[place] - first) / span) * (width - 2) + 1;
            const y = HEIGHT - 2 - (point[name] / most) * (HEIGHT - 6);
            if (drawn) context.lineTo(x, y);
            else context.moveTo(x, y);
            drawn = true;
          });
        }
        context.strokeStyle = colors[index];
        context.lineWidth = 1.5;
        context.lineJoin = "round";
        context.stroke();
      });
    }
  }
}

function figures(line) {
  const number = (pattern) => {
    const match = pattern.exec(line.text);
    return match ? Number(match[1]) : undefined;
  };
  const point = {
    time: line.time,
    source: line.source,
    prompt: number(/Avg prompt throughput: ([\d.]+) tokens\/s/),
    generation: number(/(?:Avg generation throughput: |gen throughput \(token\/s\): )([\d.]+)/),
    running: number(/(?:Running: |#running-req: )(\d+)/),
    waiting: number(/(?:Waiting: |#queue-req: )(\d+)/),
    cache: number(/KV cache usage: ([\d.]+)%/),
  };
  return point.generation === undefined && point.prompt === undefined ? null : point;
}
