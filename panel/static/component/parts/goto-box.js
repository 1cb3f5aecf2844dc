// The field that asks for a place in the log: a line number or a time (log/place.js).

/** @import { Messages } from "../types.js" */

import { element } from "./dom.js";

/**
 * @param {Messages} t
 * @param {object} on
 * @param {(text: string) => Promise<boolean>} on.go returns whether the place was found
 * @param {() => void} on.close
 */
export function gotoBox(t, { go, close }) {
  const problem = element("small", { role: "alert" });
  const input = element("input", { placeholder: t.goto, "aria-label": t.goto });
  input.addEventListener("keydown", async (event) => {
    event.stopPropagation();
    if (event.key === "Escape") close();
    if (event.key !== "Enter") return;
    if (await go(input.value.trim())) close();
    else problem.textContent = t.gotoUnknown;
  });
  return { box: element("div", { class: "goto" }, input, problem), input };
}
