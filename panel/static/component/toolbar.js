// The bar of buttons over the log, and the menu of its download button.

import { element, icon, ICONS } from "./dom.js";

export class Toolbar {
  /** What the buttons do is the panel's own: toStart, follow, toFirstError, askPlace, toggle, nextTimes and so on. */
  constructor(t, panel) {
    this.text = t;
    const { settings } = panel;
    const button = (name, path, act, pressed) =>
      element("button", {
        class: "icon", type: "button", title: t[name], "aria-label": t[name], onclick: act,
        "aria-pressed": pressed === undefined ? undefined : String(pressed),
      }, icon(path));
    this.switches = Object.fromEntries(
      ["wrap", "fold", "charts"].map((name) => [name, button(name, ICONS[name], () => panel.toggle(name), settings[name])]),
    );
    this.download = button("download", ICONS.download, () => panel.downloadMenu());
    this.element = element("div", { class: "tools", role: "toolbar", "aria-label": t.toolbar },
      panel.searchBar.element,
      panel.searchBar.filters,
      element("span", { class: "spacer" }),
      element("span", { class: "group" },
        button("start", ICONS.top, () => panel.toStart()),
        button("end", ICONS.bottom, () => panel.follow()),
        button("firstError", ICONS.error, () => panel.toFirstError()),
        button("gotoTime", ICONS.goto, () => panel.askPlace())),
      element("span", { class: "group" },
        ...Object.values(this.switches),
        button("times", ICONS.clock, () => panel.nextTimes()),
        button("zone", ICONS.zone, () => panel.nextZone()),
        this.download,
        button("theme", ICONS.theme, () => panel.nextTheme()),
        button("help", ICONS.help, () => panel.showHelp()),
        element("button", { class: "icon word", type: "button", onclick: () => panel.nextLocale() }, t.language)));
  }

  show(name, pressed) {
    this.switches[name].setAttribute("aria-pressed", String(pressed));
  }

  /** The menu of formats, to be put into `panel`, under its button; choose(format). */
  downloadMenu(panel, choose) {
    const t = this.text;
    const choice = (label, format) =>
      element("button", { type: "button", role: "menuitem", onclick: () => choose(format) }, label);
    const menu = element("div", { class: "menu layer", role: "menu", "aria-label": t.download },
      choice(t.downloadText, "text"), choice(t.downloadJson, "jsonl"));
    const button = this.download.getBoundingClientRect();
    const around = panel.getBoundingClientRect();
    menu.style.top = `${button.bottom - around.top + 4}px`;
    menu.style.right = `${Math.max(4, around.right - button.right)}px`;
    return menu;
  }
}
