// The foot of the panel: whether it follows, how many lines there are, what to do with the selection, the connection.
// A message takes the place of the number for a moment.

/** @import { LinkState, Messages } from "../types.js" */

import { milliseconds } from "../log/line-key.js";
import { element } from "./dom.js";

const AGE_MS = 5_000;
const MESSAGE_MS = 2500;
const CHARACTER_MS = 40; // that it takes to read

export class StatusBar {
  #text;
  #on;
  #message = 0;
  #count = "";
  #ageing = 0;

  /**
   * @param {Messages} t
   * @param {{follow: () => void, copyLines: () => void, copyLink: () => void}} on
   */
  constructor(t, on) {
    this.#text = t;
    this.#on = on;
    this.follow = element("button", { class: "follow", type: "button", onclick: on.follow });
    this.count = element("span", { class: "count" });
    this.said = element("span", { class: "said", role: "status", hidden: true });
    this.selection = element("span", { class: "selection" });
    this.linkLabel = element("span");
    this.heard = element("span", { class: "heard" });
    this.link = element("span", { class: "link", role: "status" }, element("span", { class: "dot" }), this.linkLabel);
    this.element = element("div", { class: "foot" },
      this.follow, this.count, this.said, this.selection, element("span", { class: "spacer" }), this.heard, this.link);
  }

  destroy() {
    clearTimeout(this.#message);
    clearInterval(this.#ageing);
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
    this.count.textContent = this.#count;
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

  /** @param {string | undefined} at when the machine of the launch was last heard of, as a key */
  showHeard(at) {
    clearInterval(this.#ageing);
    const show = () => {
      this.heard.textContent = at ? this.#text.lastHeard(Math.max(0, (Date.now() - milliseconds(at)) / 1000)) : "";
    };
    show();
    if (at) this.#ageing = setInterval(show, AGE_MS);
  }

  /**
   * @param {LinkState} link
   * @param {boolean} isLokiDown
   * @param {"" | "ended" | "silent"} over why the log grows no more: its launches have ended, or contact is lost
   */
  showLink(link, isLokiDown, over) {
    const t = this.#text;
    const state = isLokiDown ? "loki" : over && link === "live" ? over : link;
    const labels = {
      "": "", live: t.live, ended: t.ended, silent: t.lostContact, connecting: t.connecting, lost: t.reconnecting, loki: t.lokiDown,
    };
    this.link.hidden = !labels[state];
    this.link.dataset.link = state;
    this.linkLabel.textContent = labels[state];
  }

  /** @param {string} message */
  showMessage(message) {
    this.#say(message);
    this.#message = setTimeout(() => this.#say(""), MESSAGE_MS + message.length * CHARACTER_MS);
  }

  /** @param {string} message */
  #say(message) {
    clearTimeout(this.#message);
    this.said.textContent = message;
    this.said.hidden = !message;
    this.count.hidden = Boolean(message);
  }
}
