// Saves the log as a file.

/** @import { PanelApi } from "./api/panel-api.js" */
/** @import { Scope } from "./scope.js" */

import { element } from "./parts/dom.js";

const REVOKE_MS = 60_000; // long after the browser has begun to save it

/**
 * @param {PanelApi} api
 * @param {Scope} scope
 * @param {"text" | "jsonl"} format
 */
export async function downloadLog(api, scope, format) {
  const blob = await api.blob("/api/logs/download", { ...scope.parameters, format });
  const url = URL.createObjectURL(blob);
  const name = `${scope.launch || scope.trace}.${format === "text" ? "log" : "jsonl"}`;
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), REVOKE_MS);
}
