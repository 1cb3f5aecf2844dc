// Copying, also in a frame that was not given the permission.

import { element } from "./dom.js";

/** Copy a text; a field for it is put into `into` where the browser's own way is barred. Says whether it worked. */
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
