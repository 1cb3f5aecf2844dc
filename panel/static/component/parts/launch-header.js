// The head of the panel: which launches there are, how far the chosen one got, and why it ended.

/** @import { Exit, Launch, Messages, Phase, Zone } from "../types.js" */

import { phaseName } from "../log/events.js";
import { dayAndTime, duration } from "../log/format.js";
import { milliseconds } from "../log/line-key.js";
import { CauseBanner } from "./cause-banner.js";
import { element } from "./dom.js";
import { stateElement, stateName } from "./state.js";

const TAGS = ["#4f86b5", "#b5804f", "#6f9f63", "#9a6fae", "#5a9f9f", "#b56a7d", "#8b8b4f", "#7277b5"];

/**
 * The colour of a launch; a quiet one for a log that belongs to none (index -1).
 * @param {number} index
 */
export function tagColor(index) {
  return index < 0 ? "var(--fg-faint)" : TAGS[index % TAGS.length];
}

/**
 * The share of the row that a phase takes. Together the shares are over 1, else they would not fill the row.
 * @param {number} seconds
 */
function growth(seconds) {
  return Math.max(2, seconds * 10);
}

export class LaunchHeader {
  #text;
  #on;
  #zone;
  #growing = 0;

  /**
   * @param {Messages} t
   * @param {object} options
   * @param {() => Zone} options.zone
   * @param {() => string} options.home the address of the list of launches; "" for none
   * @param {(time: string) => void} options.time a phase was clicked
   * @param {(launchId: string) => void} options.launch a launch was chosen, or all ("")
   * @param {(exit: Exit, launch: Launch) => void} options.cause show the line of the cause
   * @param {(step: "next" | "previous") => void} options.error
   * @param {(exit: Exit, launch: Launch) => void} options.ticket
   */
  constructor(t, { zone, ...on }) {
    this.#text = t;
    this.#zone = zone;
    this.#on = on;
    this.head = element("div", { class: "head", hidden: true });
    this.chips = element("div", { class: "launches", role: "group", "aria-label": t.launch, hidden: true });
    this.phases = element("div", { class: "phases", role: "list", "aria-label": t.phases, hidden: true });
    this.cause = new CauseBanner(t, on);
    this.elements = [this.head, this.chips, this.phases, this.cause.element];
  }

  destroy() {
    clearInterval(this.#growing);
  }

  /**
   * @param {Launch[]} launches
   * @param {string} chosen a launchId, or "" for all: then the head is the newest launch's
   */
  show(launches, chosen) {
    const launch = launches.find((each) => each.launchId === chosen) ?? launches[launches.length - 1];
    for (const part of this.elements) part.hidden = true;
    clearInterval(this.#growing);
    if (!launch) return;
    this.#showHead(launch);
    if (launches.length > 1) this.#showChips(launches, chosen);
    this.#showPhases(launch);
    this.cause.show(launch);
  }

  /** @param {Launch} launch */
  #showHead(launch) {
    const t = this.#text;
    const ended = launch.endedAt ?? "";
    const began = launch.startedAt ?? "";
    const lasted = began && ended ? (milliseconds(ended) - milliseconds(began)) / 1000 : undefined;
    const facts = [
      began && dayAndTime(began, this.#zone()),
      lasted !== undefined && `${t.lasted} ${duration(lasted)}`,
      launch.engine,
      launch.host,
      launch.port && `${t.port} ${launch.port}`,
      launch.env,
      launch.readySeconds && `${t.readyIn} ${duration(launch.readySeconds)}`,
      `${t.trace} ${launch.traceId}`,
      launch.launchId,
    ];
    this.head.hidden = false;
    const home = this.#on.home();
    this.head.replaceChildren(
      ...(home ? [element("a", { class: "home", href: home, title: t.recent, "aria-label": t.recent }, "‹")] : []),
      stateElement(t, launch.state),
      element("span", { class: "title", title: launch.modelName }, launch.modelName),
      element("span", { class: "facts", title: launch.command ?? "" }, ...facts.filter(Boolean).map((fact) => element("span", {}, String(fact)))),
    );
  }

  /**
   * @param {Launch[]} launches
   * @param {string} chosen
   */
  #showChips(launches, chosen) {
    const t = this.#text;
    const all = { type: "button", "aria-pressed": String(!chosen), onclick: () => this.#on.launch("") };
    this.chips.hidden = false;
    this.chips.replaceChildren(
      element("button", all, t.allLaunches),
      ...launches.map((launch, index) => {
        const { launchId, modelName, state } = launch;
        const tag = element("span", { class: "tag" });
        tag.style.setProperty("--tag", tagColor(index));
        return element("button", {
          type: "button",
          "aria-pressed": String(chosen === launchId),
          title: `${launchId} ${launch.host}`,
          onclick: () => this.#on.launch(chosen === launchId ? "" : launchId),
        }, tag, `${modelName} ${launchId.slice(-6)} · ${stateName(t, state)}`);
      }),
    );
  }

  /** @param {Launch} launch */
  #showPhases(launch) {
    const phases = launch.phases.map((phase) => this.#phaseElement(phase, ""));
    const last = launch.phases[launch.phases.length - 1]?.at ?? launch.startedAt;
    if (launch.state === "starting" && last) {
      phases.push(this.#runningPhase(last));
    } else if (launch.state === "failed" && launch.endedAt && last) {
      const seconds = (milliseconds(launch.endedAt) - milliseconds(last)) / 1000;
      phases.push(this.#phaseElement({ name: this.#text.state.failed, seconds, at: launch.endedAt }, "failed"));
    }
    if (phases.length === 0) return;
    this.phases.hidden = false;
    this.phases.replaceChildren(...phases);
  }

  /** @param {string} since key of the time that it began at */
  #runningPhase(since) {
    const running = this.#phaseElement({ name: "…", seconds: 0, at: since }, "running");
    const grow = () => {
      const seconds = Math.max(0, (Date.now() - milliseconds(since)) / 1000);
      running.textContent = `… ${duration(seconds)}`;
      running.style.flexGrow = String(growth(seconds));
    };
    grow();
    this.#growing = setInterval(grow, 1000);
    return running;
  }

  /**
   * @param {Phase} phase
   * @param {"" | "running" | "failed"} kind
   */
  #phaseElement({ name, seconds, at }, kind) {
    const label = `${phaseName(this.#text, name)} ${duration(seconds)}`;
    const made = element("button", {
      class: `phase ${kind}`, type: "button", role: "listitem", title: label, onclick: () => this.#on.time(at),
    }, label);
    made.style.flexGrow = String(growth(seconds ?? 0));
    return made;
  }
}
