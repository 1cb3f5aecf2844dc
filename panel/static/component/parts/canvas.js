// A canvas as sharp as the screen: drawn in CSS pixels, stored in the screen's.

/**
 * Size and clear the canvas; returns the context to draw on, in CSS pixels.
 * @param {HTMLCanvasElement} canvas
 * @param {number} width
 * @param {number} height
 */
export function sharpContext(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const context = canvas.getContext("2d");
  if (!context) throw new Error("this browser draws no canvas");
  context.scale(ratio, ratio);
  return context;
}
