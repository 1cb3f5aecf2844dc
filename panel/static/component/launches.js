// The head: which launches there are, how far each one got, and why it ended.

import { element } from "./dom.js";
import { duration } from "./format.js";
import { milliseconds } from "./keys.js";

export const TAGS = ["#4f86b5", "#b5804f", "#6f9f63", "#9a6fae", "#5a9f9f", "#b56a7d", "#8b8b4f", "#7277b5"];
const RUNNING_NAMES = { starting: "…" };

export class LaunchHead {
  /** on: {line(key), launch(launchId), cause(exit)} */
  constructor(text, on) {
    this.text = text;
    this.on = on;
    this.head = element("div", { class: "head", hidden: true });
    this.chips = element("div", { class: "launches", role: "group", "aria-label": text.launch, hidden: true });
    this.phases = element("div", { class: "phases", role: "list", "aria-label": text.phases, hidden: true });
    this.cause = element("div", { class: "cause", role: "alert", hidden: true });
    this.elements = [this.head, this.chips, this.phases, this.cause];
    this.timer = 0;
  }

  destroy() {
    clearInterval(this.timer);
  }

  show(launches, chosen) {
    const t = this.text;
    const launch = launches.find((each) => each.launchId === chosen) ?? launches[launches.length - 1];
    for (const part of this.elements) part.hidden = true;
    clearInterval(this.timer);
    if (!launch) return;
    const facts = [
      launch.engine,
      launch.host,
      launch.port && `${t.port} ${launch.port}`,
      launch.env,
      launch.readySeconds && `${t.readyIn} ${duration(launch.readySeconds)}`,
      launch.launchId,
    ];
    this.head.hidden = false;
    this.head.replaceChildren(
      stateElement(t, launch.state),
      element("span", { class: "title", title: launch.modelName }, launch.modelName),
      element("span", { class: "facts" }, ...facts.filter(Boolean).map((fact) => element("span", {}, String(fact)))),
    );
    this.showChips(launches, chosen);
    this.showPhases(launch);
    this.showCause(launch);
  }

  showChips(launches, chosen) {
    if (launches.length < 2) return;
    const t = this.text;
    this.chips.hidden = false;
    this.chips.replaceChildren(
      element("button", { type: "button", "aria-pressed": String(!chosen), onclick: () => this.on.launch("") }, t.allLaunches),
      ...launches.map((launch, index) => {
        const tag = element("span", { class: "tag" });
        tag.style.setProperty("--tag", TAGS[index % TAGS.length]);
        return element(
          "button",
          {
            type: "button",
            "aria-pressed": String(chosen === launch.launchId),
            title: `${launch.launchId} ${launch.host}`,
            onclick: () => this.on.launch(chosen === launch.launchId ? "" : launch.launchId),
          },
          tag,
          `${launch.modelName} ${launch.launchId.slice(-6)} · ${t.state[launch.state] ?? launch.state}`,
        );
      }),
    );
  }

  showPhases(launch) {
    const phases = launch.phases.map((phase) => this.phaseElement(phase.name, phase.seconds, phase.at, ""));
    const last = launch.phases[launch.phases.length - 1]?.at ?? launch.startedAt;
    if (launch.state === "starting" && last) {
      const running = this.phaseElement(RUNNING_NAMES.starting, 0, last, "running");
      const grow = () => {
        const seconds = Math.max(0, (Date.now() - milliseconds(last)) / 1000);
        running.textContent = `… ${duration(seconds)}`;
        running.style.flexGrow = String(Math.max(0.2, seconds));
      };
      grow();
      this.timer = setInterval(grow, 1000);
      phases.push(running);
    } else if (launch.state === "failed" && launch.endedAt && last) {
      const seconds = (milliseconds(launch.endedAt) - milliseconds(last)) / 1000;
      phases.push(this.phaseElement(this.text.state.failed, seconds, launch.endedAt, "failed"));
    }
    if (phases.length === 0) return;
    this.phases.hidden = false;
    this.phases.replaceChildren(...phases);
  }

  phaseElement(name, seconds, at, kind) {
    const label = `${name} ${duration(seconds)}`;
    const made = element(
      "button",
      { class: `phase ${kind}`, type: "button", role: "listitem", title: label, onclick: () => this.on.line(at) },
      label,
    );
    made.style.flexGrow = String(Math.max(0.2, seconds ?? 0));
    return made;
  }

  showCause(launch) {
    const t = this.text;
    const { exit } = launch;
    if (!exit || !(exit.cause || launch.state === "failed" || launch.state === "crashed")) return;
    const how = [
      exit.exitCode !== undefined && `${t.exitCode} ${exit.exitCode}`,
      exit.signal && `${t.signal} ${exit.signal}`,
    ].filter(Boolean);
    this.cause.hidden = false;
    this.cause.replaceChildren(
      element("b", {}, exit.cause || t.state[launch.state]),
      element("span", { class: "how" }, how.join(", ")),
      element("span", { class: "hint" }, exit.hint ?? ""),
      element("button", { type: "button", onclick: () => this.on.cause(exit, launch) }, t.showLine),
    );
  }
}

export function stateElement(text, state) {
  return element(
    "span",
    { class: "state", "data-state": state, role: "status" },
    element("span", { class: "dot" }),
    text.state[state] ?? state,
  );
}
