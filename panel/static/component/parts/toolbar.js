// The bar of buttons over the log, and the menu of its download button.

/** @import { Messages, Settings, Switch } from "../types.js" */
/** @import { Actions } from "../actions.js" */

import { element, iconButton, wordButton } from "./dom.js";

export class Toolbar {
  #text;
  #download;
  #switches;

  /**
   * @param {Messages} t
   * @param {object} options
   * @param {Settings} options.settings as they are at first
   * @param {Actions} options.actions
   * @param {HTMLElement[]} options.search what stands at its beginning
   */
  constructor(t, { settings, actions, search }) {
    /** @param {Switch} name */
    const toggle = (name) => iconButton(t[name], name, () => actions.toggle(name), settings[name]);
    this.#text = t;
    this.#switches = { wrap: toggle("wrap"), fold: toggle("fold"), charts: toggle("charts") };
    this.#download = iconButton(t.download, "download", () => actions.openDownloads());
    const more = wordButton(t.moreTools, "⋯", () => {
      const isOpen = this.element.classList.toggle("open");
      more.setAttribute("aria-expanded", String(isOpen));
    });
    more.classList.add("more-tools");
    more.setAttribute("aria-expanded", "false");
    this.element = element("div", { class: "tools", role: "toolbar", "aria-label": t.toolbar },
      ...search,
      more,
      element("span", { class: "spacer" }),
      element("span", { class: "group further-tools" },
        iconButton(t.start, "top", () => actions.toStart()),
        iconButton(t.end, "bottom", () => actions.toEnd()),
        iconButton(t.firstError, "error", () => actions.toFirstError()),
        iconButton(t.errorGroups, "errors", () => actions.openErrors()),
        iconButton(t.gotoTime, "goto", () => actions.openGoto())),
      element("span", { class: "group further-tools" },
        ...Object.values(this.#switches),
        iconButton(t.times, "clock", () => actions.nextTimes()),
        iconButton(t.zone, "zone", () => actions.nextZone()),
        this.#download,
        iconButton(t.theme, "theme", () => actions.nextTheme()),
        iconButton(t.help, "help", () => actions.openHelp()),
        element("button", { class: "icon word", type: "button", onclick: () => actions.nextLocale() }, t.language)));
  }

  /** @param {Settings} settings */
  showSwitches(settings) {
    const { wrap, fold, charts } = this.#switches;
    wrap.setAttribute("aria-pressed", String(settings.wrap));
    fold.setAttribute("aria-pressed", String(settings.fold));
    charts.setAttribute("aria-pressed", String(settings.charts));
  }

  /**
   * The menu of formats, to be put into `panel`, where it lies under the download button.
   * @param {HTMLElement} panel
   * @param {(format: "text" | "jsonl") => void} choose
   */
  downloadMenu(panel, choose) {
    const t = this.#text;
    /** @type {(label: string, format: "text" | "jsonl") => HTMLElement} */
    const choice = (label, format) =>
      element("button", { type: "button", role: "menuitem", onclick: () => choose(format) }, label);
    const first = choice(t.downloadText, "text");
    const menu = element("div", { class: "menu", role: "menu", "aria-label": t.download },
      first, choice(t.downloadJson, "jsonl"));
    const button = this.#download.getBoundingClientRect();
    const around = panel.getBoundingClientRect();
    menu.style.top = `${button.bottom - around.top + 4}px`;
    menu.style.right = `${Math.max(4, around.right - button.right)}px`;
    return { menu, first };
  }
}
