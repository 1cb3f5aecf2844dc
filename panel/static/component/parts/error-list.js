// The list of a log's errors by groups. Choosing one goes to its first line.

/** @import { ErrorGroup } from "../log/error-groups.js" */
/** @import { Messages, Zone } from "../types.js" */

import { plain } from "../log/ansi.js";
import { lineTime } from "../log/format.js";
import { element } from "./dom.js";

/**
 * @param {Messages} t
 * @param {object} options
 * @param {ErrorGroup[]} options.groups
 * @param {boolean} options.isWhole whether these are all errors of the log
 * @param {Zone} options.zone
 * @param {(group: ErrorGroup) => void} options.choose
 * @param {() => void} options.close
 */
export function errorList(t, { groups, isWhole, zone, choose, close }) {
  const items = groups.map((group) => {
    const text = plain(group.text);
    return element("li", { class: group.isConsequence ? "consequence" : "" },
      element("button", { type: "button", title: text, onclick: () => choose(group) },
        element("span", { class: "count" }, `${group.count} ×`),
        element("span", { class: "what" }, text),
        element("span", { class: "when" },
          [lineTime(group.first.id, { mode: "absolute", zone }), group.isConsequence ? t.consequence : ""].filter(Boolean).join(" · "))));
  });
  const total = groups.reduce((sum, group) => sum + group.count, 0);
  const box = element("div", { class: "help errors", role: "dialog", "aria-modal": "true", "aria-label": t.errorGroups, tabindex: "-1" },
    element("h2", {}, t.errorGroups),
    element("p", {}, groups.length ? t.errorTotals(String(total), String(groups.length)) : t.noError),
    ...(isWhole ? [] : [element("p", {}, t.firstErrorsOnly)]),
    element("ol", {}, ...items),
    element("button", { type: "button", onclick: close }, t.close));
  box.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Escape") {
      event.preventDefault();
      close();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp" || event.key === "Tab") {
      event.preventDefault();
      const isBack = event.key === "ArrowUp" || (event.key === "Tab" && event.shiftKey);
      moveFocus([...box.querySelectorAll("button")], isBack ? -1 : 1);
    }
  });
  return { box, first: box.querySelector("button") };
}

/**
 * @param {HTMLElement[]} buttons
 * @param {1 | -1} step
 */
function moveFocus(buttons, step) {
  const at = buttons.findIndex((button) => button.matches(":focus"));
  buttons[(at + step + buttons.length) % buttons.length]?.focus();
}
