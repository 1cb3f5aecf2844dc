// The head of the panel: which launches there are, how far the chosen one got, and why it ended.

/** @import { Exit, Launch, Messages, Phase, Zone } from "../types.js" */

import { phaseName, stateName } from "../log/events.js";
import { dayAndTime, duration } from "../log/format.js";
import { milliseconds } from "../log/line-key.js";
import { CauseBanner } from "./cause-banner.js";
import { element } from "./dom.js";
import { newestOrWorst } from "./nodes.js";
import { lastHeard, shownState, stateElement } from "./state.js";

const AGE_MS = 5_000;
const TAGS = ["#4f86b5", "#b5804f", "#6f9f63", "#9a6fae", "#5a9f9f", "#b56a7d", "#8b8b4f", "#7277b5"];

/**
 * The colour of a launch; a quiet one for a log that belongs to none (index -1).
 * @param {number} index
 */
export function tagColor(index) {
  return index < 0 ? "var(--fg-faint)" : TAGS[index % TAGS.length];
}

/**
 * The colour of a phase of the start; twice as many as launches have, since engines have more phases than a trace has launches.
 * @param {number} index
 */
export function phaseColor(index) {
  return index < TAGS.length ? tagColor(index) : `color-mix(in srgb, ${tagColor(index)} 45%, var(--bg))`;
}

/** Of the time of all phases, the share that a short one is drawn with at least. */
const LEAST_SHARE = 0.02;

export class LaunchHeader {
  #text;
  #on;
  #zone;
  #growing = 0;
  #ageing = 0;
  #isCommandShown = false;
  /** @type {Launch | undefined} The one that is shown. */
  launch;

  /**
   * @param {Messages} t
   * @param {object} options
   * @param {() => Zone} options.zone
   * @param {() => string} options.home the address of the list of launches; "" for none
   * @param {(time: string) => void} options.time a phase was clicked
   * @param {(launchId: string) => void} options.launch a launch was chosen, or all ("")
   * @param {(exit: Exit, launch: Launch) => void} options.cause show the line of the cause
   * @param {(step: "next" | "previous") => void} options.error
   * @param {() => void} options.errors
   * @param {(exit: Exit, launch: Launch) => void} options.ticket
   * @param {() => void} options.compare
   * @param {() => void} options.history show the last starts of the model
   */
  constructor(t, { zone, ...on }) {
    this.#text = t;
    this.#zone = zone;
    this.#on = on;
    this.head = element("div", { class: "head", hidden: true });
    this.chips = element("div", { class: "launches", role: "group", "aria-label": t.launch, hidden: true });
    this.phases = element("ol", { class: "phases", "aria-label": t.phases, hidden: true });
    this.cause = new CauseBanner(t, zone, on);
    this.command = element("code", { class: "command", tabindex: "0" });
    this.elements = [this.head, this.command, this.chips, this.phases, this.cause.element];
  }

  destroy() {
    clearInterval(this.#growing);
    clearInterval(this.#ageing);
  }

  /**
   * @param {Launch[]} launches
   * @param {string} chosen a launchId, or "" for all: then the head is the newest launch's, or that of the machine
   *   in the worst state if several serve the model together
   */
  show(launches, chosen) {
    const launch = launches.find((each) => each.launchId === chosen) ?? newestOrWorst(launches);
    this.launch = launch;
    for (const part of this.elements) part.hidden = true;
    this.destroy();
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
      launch.role && t.place(launch),
      launch.port && `${t.port} ${launch.port}`,
      launch.env,
      launch.readySeconds && `${t.readyIn} ${duration(launch.readySeconds)}`,
      `${t.trace} ${launch.traceId}`,
      launch.launchId,
    ];
    const heard = element("span", { class: "heard" });
    const grow = () => { heard.textContent = lastHeard(t, launch); };
    if (launch.lostContact) {
      grow();
      this.#ageing = setInterval(grow, AGE_MS);
    }
    this.head.hidden = false;
    const home = this.#on.home();
    this.head.replaceChildren(
      ...(home ? [element("a", { class: "home", href: home, title: t.recent, "aria-label": t.recent }, "‹")] : []),
      stateElement(t, shownState(launch)),
      element("span", { class: "title", title: launch.modelName }, launch.modelName),
      element("span", { class: "facts" },
        ...(launch.lostContact ? [heard] : []),
        ...facts.filter(Boolean).map((fact) => element("span", {}, String(fact)))),
      element("button", { class: "history-button", type: "button", onclick: () => this.#on.history() }, t.starts),
      ...this.#commandParts(launch.command),
    );
  }

  /**
   * The button that shows the command under the head, or hides it; nothing without a command.
   * @param {string | undefined} command
   */
  #commandParts(command) {
    this.command.textContent = command ?? "";
    this.command.hidden = !command || !this.#isCommandShown;
    if (!command) return [];
    const button = element("button", {
      class: "command-button", type: "button", "aria-expanded": String(this.#isCommandShown),
      onclick: () => {
        this.#isCommandShown = !this.#isCommandShown;
        this.command.hidden = !this.#isCommandShown;
        button.setAttribute("aria-expanded", String(this.#isCommandShown));
      },
    }, this.#text.command);
    return [button];
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
        const { launchId, modelName, role } = launch;
        const tag = element("span", { class: "tag" });
        tag.style.setProperty("--tag", tagColor(index));
        return element("button", {
          type: "button",
          "aria-pressed": String(chosen === launchId),
          title: `${launchId} ${launch.host}`,
          onclick: () => this.#on.launch(chosen === launchId ? "" : launchId),
        }, tag, [`${modelName} ${launchId.slice(-6)}`, ...(role ? [launch.host, t.place(launch)] : []), stateName(t, shownState(launch))].join(" · "));
      }),
    );
  }

  /** @param {Launch} launch */
  #showPhases(launch) {
    const phases = launch.phases.map((phase) => this.#phaseElement(phase, ""));
    const last = launch.phases[launch.phases.length - 1]?.at ?? launch.startedAt;
    if (shownState(launch) === "starting" && last) {
      phases.push(this.#runningPhase(last));
    } else if (launch.state === "failed" && launch.endedAt && last) {
      const seconds = (milliseconds(launch.endedAt) - milliseconds(last)) / 1000;
      phases.push(this.#phaseElement({ name: this.#text.state.failed, seconds, at: launch.endedAt }, "failed"));
    }
    if (phases.length === 0) return;
    this.phases.hidden = false;
    this.phases.replaceChildren(...phases);
    this.#sharePhases();
  }

  /** Draw the phases in proportion to their times. */
  #sharePhases() {
    const items = [...this.phases.children].filter((item) => item instanceof HTMLElement);
    const total = items.reduce((sum, item) => sum + Number(item.dataset.seconds), 0);
    for (const item of items) {
      item.style.flexGrow = String(total ? Math.max(Number(item.dataset.seconds) / total, LEAST_SHARE) : 1);
    }
  }

  /** @param {string} since key of the time that it began at */
  #runningPhase(since) {
    const running = this.#phaseElement({ name: "…", seconds: 0, at: since }, "running");
    const label = running.querySelector("button");
    const grow = () => {
      const seconds = Math.max(0, (Date.now() - milliseconds(since)) / 1000);
      if (label) label.textContent = `… ${duration(seconds)}`;
      running.dataset.seconds = String(seconds);
      this.#sharePhases();
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
    const button = element("button", { type: "button", title: label, "aria-label": label, onclick: () => this.#on.time(at) }, label);
    const made = element("li", { class: `phase ${kind}` }, button);
    made.dataset.seconds = String(seconds ?? 0);
    return made;
  }
}
