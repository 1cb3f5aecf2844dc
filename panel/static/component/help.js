// The page that `?` opens.

import { element } from "./dom.js";

export function helpElement(text, close) {
  const rows = text.keys.map(([keys, what]) =>
    element("tr", {}, element("th", { scope: "row" }, ...keys.split(" ").map((key) => element("kbd", {}, key))), element("td", {}, what)),
  );
  const box = element(
    "div",
    { class: "help", role: "dialog", "aria-modal": "true", "aria-label": text.help, tabindex: "-1" },
    element("h2", {}, text.help),
    element("table", {}, element("tbody", {}, ...rows)),
    element("button", { type: "button", onclick: close }, text.close),
  );
  box.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Escape" || event.key === "?") { event.preventDefault(); close(); }
    else if (event.key === "Tab") { event.preventDefault(); box.querySelector("button").focus(); }
  });
  return box;
}
