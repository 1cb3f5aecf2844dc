// The foot of the panel: whether it follows, how many lines there are, what to do with the selection, the connection.
// A message takes the place of the number for a moment.

/** @import { LinkState, Messages } from "../types.js" */

import { element } from "./dom.js";

const MESSAGE_MS = 2500;

export class StatusBar {
  #text;
  #on;
  #message = 0;
  #count = "";

  /**
   * @param {Messages} t
   * @param {{follow: () => void, copyLines: () => void, copyLink: () => void}} on
   */
  constructor(t, on) {
    this.#text = t;
    this.#on = on;
    this.follow = element("button", { class: "follow", type: "button", onclick: on.follow });
    this.count = element("span", { class: "count" });
    this.selection = element("span", { class: "selection", role: "status" });
    this.linkLabel = element("span");
    this.link = element("span", { class: "link", role: "status" }, element("span", { class: "dot" }), this.linkLabel);
    this.element = element("div", { class: "foot" },
      this.follow, this.count, this.selection, element("span", { class: "spacer" }), this.link);
  }

  destroy() {
    clearTimeout(this.#message);
  }

  /**
   * @param {boolean} following
   * @param {number | null} total lines; null while unknown
   * @param {boolean} isEnded whether no launch of the log prints any more
   */
  showFollowing(following, total, isEnded) {
    const t = this.#text;
    const [on, off] = isEnded ? [t.atEnd, t.toEnd] : [t.following, t.follow];
    this.follow.setAttribute("aria-pressed", String(following));
    this.follow.textContent = following ? `● ${on}` : `○ ${off}`;
    this.#count = total === null ? "" : t.lines(total.toLocaleString());
    if (!this.#message) this.count.textContent = this.#count;
  }

  /** @param {boolean} isSomething whether lines are selected */
  showSelection(isSomething) {
    const t = this.#text;
    this.selection.replaceChildren(
      ...(isSomething
        ? [
            element("button", { type: "button", onclick: this.#on.copyLines }, t.copyLines),
            element("button", { type: "button", onclick: this.#on.copyLink }, t.copyLink),
          ]
        : []),
    );
  }

  /**
   * @param {LinkState} link
   * @param {boolean} isLokiDown
   * @param {boolean} isEnded whether no launch of the log prints any more
   */
  showLink(link, isLokiDown, isEnded) {
    const t = this.#text;
    const state = isLokiDown ? "loki" : isEnded && link === "live" ? "ended" : link;
    const labels = { "": "", live: t.live, ended: t.ended, connecting: t.connecting, lost: t.reconnecting, loki: t.lokiDown };
    this.link.hidden = !labels[state];
    this.link.dataset.link = state;
    this.linkLabel.textContent = labels[state];
  }

  /** @param {string} message */
  showMessage(message) {
    clearTimeout(this.#message);
    this.count.textContent = message;
    this.#message = setTimeout(() => {
      this.#message = 0;
      this.count.textContent = this.#count;
    }, MESSAGE_MS);
  }
}
