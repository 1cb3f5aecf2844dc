// Copying to the clipboard, also in a frame that was not given the permission.

import { element } from "./dom.js";

/**
 * Copy a text; where the browser's own way is barred, from a field that is put into `into` for a moment.
 * @param {string} text
 * @param {HTMLElement} into
 * @returns {Promise<boolean>} whether it worked
 */
export async function copyText(text, into) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = element("textarea", { value: text });
    into.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    return copied;
  }
}
