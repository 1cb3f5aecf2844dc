// The parts of the panel in one language, around the scroller, which stays when they are built again in another one.

/** @import { Actions } from "../actions.js" */
/** @import { Exit, Filter, Launch, Messages, SearchQuery, SearchStep, Settings, TimeRange } from "../types.js" */
/** @import { Child } from "./dom.js" */
/** @import { SearchBarState } from "./search-bar.js" */

import { Charts } from "./charts.js";
import { element } from "./dom.js";
import { Histogram } from "./histogram.js";
import { LaunchHeader } from "./launch-header.js";
import { SearchBar } from "./search-bar.js";
import { StatusBar } from "./status-bar.js";
import { Toolbar } from "./toolbar.js";

/**
 * @typedef {object} LayoutHandlers
 * @property {() => string} home the address of the list of launches; "" for none
 * @property {() => string[]} unknownParameters of the page's address
 * @property {(time: string) => void} time a time was chosen, as a key
 * @property {(range: TimeRange | null) => void} zoom a part of the time was chosen; null: all
 * @property {(launchId: string) => void} launch
 * @property {(exit: Exit, launch: Launch) => void} cause
 * @property {(step: "next" | "previous") => void} error
 * @property {() => void} errors
 * @property {(exit: Exit, launch: Launch) => void} ticket
 * @property {() => void} compare
 * @property {() => void} history
 * @property {(query: SearchQuery, step: SearchStep) => void} search
 * @property {(filter: Filter) => void} filter
 * @property {() => void} leaveSearch
 */

export class Layout {
  #text;
  #panel;
  #scroller;

  /**
   * @param {Messages} t
   * @param {object} options
   * @param {HTMLElement} options.panel where the parts are put
   * @param {HTMLElement} options.scroller a child of panel
   * @param {Settings} options.settings
   * @param {SearchBarState} options.search
   * @param {Actions} options.actions
   * @param {LayoutHandlers} options.on
   */
  constructor(t, { panel, scroller, settings, search, actions, on }) {
    this.#text = t;
    this.#panel = panel;
    this.#scroller = scroller;
    scroller.setAttribute("aria-label", t.log);
    this.header = new LaunchHeader(t, { zone: () => settings.zone, ...on });
    this.histogram = new Histogram(t, { zone: () => settings.zone, onTime: on.time, onZoom: on.zoom });
    this.charts = new Charts(t, { onTime: on.time });
    this.searchBar = new SearchBar(t, search, { search: on.search, filter: on.filter, leave: on.leaveSearch });
    const bars = [this.searchBar.element, this.searchBar.filters];
    this.toolbar = new Toolbar(t, { settings, actions, search: bars });
    this.statusBar = new StatusBar(t, {
      follow: () => actions.toEnd(),
      copyLines: () => actions.copyLines(),
      copyLink: () => actions.copyLink(),
    });
    this.caveat = element("div", { class: "caveat", role: "note", hidden: true }, t.noMetadata);
    const unknown = on.unknownParameters().join(", ");
    this.unknown = element("div", { class: "caveat", role: "note", hidden: !unknown }, t.unknownParameters(unknown));
    this.notice = element("div", { class: "notice", hidden: true });
    this.jump = element("button", { class: "jump", type: "button", hidden: true, onclick: () => actions.toEnd() });
    scroller.before(
      ...this.header.elements, this.unknown, this.caveat, this.histogram.element, this.charts.element, this.toolbar.element, this.notice,
    );
    scroller.after(this.jump, this.statusBar.element);
    this.showCharts(settings.charts);
  }

  destroy() {
    for (const part of [this.header, this.histogram, this.charts, this.searchBar, this.statusBar]) part.destroy();
    for (const child of [...this.#panel.children]) if (child !== this.#scroller) child.remove();
  }

  /** Draw what has the colours of the theme in it. */
  redraw() {
    this.histogram.draw();
    this.charts.draw();
  }

  /** @param {boolean} shown */
  showCharts(shown) {
    this.charts.element.hidden = !shown;
  }

  /**
   * Whether Loki keeps structured metadata. Without it there are lines and times, and filters would hide all of them.
   * @param {boolean} isKept
   */
  showMetadata(isKept) {
    this.caveat.hidden = isKept;
    this.searchBar.filters.hidden = !isKept;
  }

  /**
   * Show a notice in place of the log, or (alone = false) above it; null: none.
   * @param {Child[] | null} children
   * @param {boolean} [alone]
   */
  showNotice(children, alone = true) {
    const isAlone = children !== null && alone;
    this.notice.hidden = children === null;
    this.#scroller.hidden = isAlone;
    this.#panel.classList.toggle("bare", isAlone);
    this.notice.replaceChildren(...(children ?? []).filter((child) => child !== null && child !== undefined));
  }

  /** @param {number} unseen new lines below what is in sight */
  showJump(unseen) {
    this.jump.hidden = unseen === 0;
    if (unseen > 0) this.jump.textContent = `${this.#text.newLines(unseen.toLocaleString())} ↓`;
  }
}
