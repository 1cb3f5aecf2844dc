// What lies over the log, one at a time: the page of keys, the field for a place, the menu of downloads.

export class Layers {
  #panel;
  #onClose;
  /** @type {HTMLElement | null} */
  #open = null;
  /** @type {Element | null} */
  #focusedBefore = null;

  /**
   * @param {HTMLElement} panel what they lie over
   * @param {(focusedBefore: Element | null) => void} onClose takes the focus back
   */
  constructor(panel, onClose) {
    this.#panel = panel;
    this.#onClose = onClose;
  }

  /**
   * @param {HTMLElement} layer
   * @param {HTMLElement | null} [focus] what of it gets the focus; by default the layer
   */
  open(layer, focus = layer) {
    this.close();
    const root = this.#panel.getRootNode();
    this.#focusedBefore = root instanceof ShadowRoot ? root.activeElement : null;
    this.#open = layer;
    this.#panel.append(layer);
    focus?.focus();
  }

  /** Close what is open; returns whether there was something. */
  close() {
    if (!this.#open) return false;
    this.#open.remove();
    this.#open = null;
    this.#onClose(this.#focusedBefore);
    return true;
  }
}
