// Whether the panel is in a small frame: narrow, or low. The styles leave out what is worth less there.

const SMALL_PX = 500;

export class Compact {
  isNarrow = false;
  #panel;
  #onChange;
  #resized = new ResizeObserver(() => this.#measure());

  /**
   * @param {HTMLElement} panel gets the classes `narrow` and `low`
   * @param {(isNarrow: boolean) => void} onChange its width is small now, or is not any more
   */
  constructor(panel, onChange) {
    this.#panel = panel;
    this.#onChange = onChange;
    this.#resized.observe(panel);
  }

  destroy() {
    this.#resized.disconnect();
  }

  #measure() {
    const { clientWidth, clientHeight } = this.#panel;
    if (!clientWidth) return;
    const isNarrow = clientWidth < SMALL_PX;
    this.#panel.classList.toggle("narrow", isNarrow);
    this.#panel.classList.toggle("low", clientHeight < SMALL_PX);
    if (isNarrow === this.isNarrow) return;
    this.isNarrow = isNarrow;
    this.#onChange(isNarrow);
  }
}
