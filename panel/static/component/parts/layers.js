// What lies over the log, one at a time: the page of keys, the field for a place, the menu of downloads.

export class Layers {
  #panel;
  #onClose;
  /** @type {HTMLElement | null} */
  #open = null;

  /**
   * @param {HTMLElement} panel what they lie over
   * @param {() => void} onClose takes the focus back
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
    this.#open = layer;
    this.#panel.append(layer);
    focus?.focus();
  }

  /** Close what is open; returns whether there was something. */
  close() {
    if (!this.#open) return false;
    this.#open.remove();
    this.#open = null;
    this.#onClose();
    return true;
  }
}
