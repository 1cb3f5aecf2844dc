// A panel as the address of the page asks for it: what /panel and /embed have in common.

import { TracetailPanel } from "./component/panel-element.js";

const ATTRIBUTES = { traceId: "trace-id", launchId: "launch-id", instanceId: "instance-id", locale: "locale", theme: "theme", line: "line" };

/** What stands behind the #, which is never sent to a server. */
export const fragment = () => new URLSearchParams(location.hash.slice(1));

/**
 * A panel with the attributes that the parameters name, and the token of the fragment.
 * @param {(parameter: string) => string | null} parameter
 */
export function panelOf(parameter) {
  const panel = new TracetailPanel();
  for (const [name, attribute] of Object.entries(ATTRIBUTES)) {
    const value = parameter(name);
    if (value) panel.setAttribute(attribute, value);
  }
  panel.token = fragment().get("token") ?? "";
  return panel;
}

/**
 * Call a function with the detail of an event of the panel.
 * @param {TracetailPanel} panel
 * @param {string} name
 * @param {(detail: any) => void} act
 */
export function onEvent(panel, name, act) {
  panel.addEventListener(name, (event) => { if (event instanceof CustomEvent) act(event.detail); });
}
