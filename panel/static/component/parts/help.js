// The page of keys that `?` opens. keyboard.js gives each key its action.

/** @import { Messages } from "../types.js" */

import { element } from "./dom.js";

/**
 * @param {Messages} t
 * @param {() => void} close
 */
export function helpElement(t, close) {
  const rows = t.keys.map(([keys, what]) => {
    const names = keys.split(" ").map((key) => element("kbd", {}, key));
    return element("tr", {}, element("th", { scope: "row" }, ...names), element("td", {}, what));
  });
  const button = element("button", { type: "button", onclick: close }, t.close);
  const box = element(
    "div",
    { class: "help", role: "dialog", "aria-modal": "true", "aria-label": t.help, tabindex: "-1" },
    element("h2", {}, t.help),
    element("table", {}, element("tbody", {}, ...rows)),
    button,
  );
  box.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Escape" || event.key === "?") {
      event.preventDefault();
      close();
    } else if (event.key === "Tab") {
      event.preventDefault();
      button.focus();
    }
  });
  return box;
}
