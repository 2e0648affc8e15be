import { h, themeColor } from '../dom';

type Draw = (ctx: CanvasRenderingContext2D, width: number, height: number) => void;

/**
 * A canvas as sharp as the screen. What it shows is drawn when it is in sight, and again when its size or the theme has
 * changed; `height` may follow from the width.
 */
export class Picture {
  readonly element: HTMLCanvasElement;
  private visible = false;
  private frame = 0;

  constructor(
    private readonly draw: Draw,
    private readonly height: (width: number) => number,
    attributes: Parameters<typeof h>[1] = {},
  ) {
    this.element = h('canvas', { class: 'picture', ...attributes });
    new IntersectionObserver((entries) => {
      this.visible = entries.at(-1)?.isIntersecting ?? false;
      this.redraw();
    }).observe(this.element);
    new ResizeObserver(() => this.redraw()).observe(this.element);
  }

  /** Draw again soon; many calls within a frame are one. */
  redraw(): void {
    if (this.visible && this.frame === 0) {
      this.frame = requestAnimationFrame(() => {
        this.frame = 0;
        this.drawNow();
      });
    }
  }

  private drawNow(): void {
    const width = this.element.clientWidth;
    const ctx = this.element.getContext('2d');
    if (width === 0 || !ctx) {
      return;
    }
    const height = Math.round(this.height(width));
    const scale = devicePixelRatio;
    this.element.style.height = `${height}px`;
    this.element.width = Math.round(width * scale);
    this.element.height = Math.round(height * scale);
    ctx.setTransform(scale, 0, 0, scale, 0, 0);
    ctx.font = `11px ${getComputedStyle(document.body).fontFamily}`;
    this.draw(ctx, width, height);
  }
}

export type Rgb = readonly [number, number, number];

const probe = document.createElement('canvas').getContext('2d', { willReadFrequently: true });

/** A colour of the theme as numbers. */
export function rgb(name: string, fallback: string): Rgb {
  if (!probe) {
    return [128, 128, 128];
  }
  probe.fillStyle = fallback;
  probe.fillStyle = themeColor(name, fallback); // what is no colour leaves the one before
  probe.clearRect(0, 0, 1, 1);
  probe.fillRect(0, 0, 1, 1);
  const [red = 128, green = 128, blue = 128] = probe.getImageData(0, 0, 1, 1).data;
  return [red, green, blue];
}

/** What pictures are drawn with, from the theme that is on now. */
export function palette(): { strong: string; soft: string; text: string; grid: string } {
  return {
    strong: themeColor('charts-blue', '#3794ff'),
    soft: themeColor('descriptionForeground', '#888'),
    text: themeColor('foreground', '#888'),
    grid: themeColor('widget-border', themeColor('contrastBorder', 'rgba(128,128,128,.35)')),
  };
}

/**
 * A matrix as an image of one pixel a cell: `value` between 0 and 1 is how much of the colour is seen. Small weights are
 * lifted, because most of attention is small.
 */
export function heatImage(
  rows: number,
  columns: number,
  color: Rgb,
  value: (row: number, column: number) => number,
): HTMLCanvasElement {
  const image = h('canvas', { width: Math.max(1, columns), height: Math.max(1, rows) });
  const ctx = image.getContext('2d');
  if (!ctx || rows === 0 || columns === 0) {
    return image;
  }
  const pixels = ctx.createImageData(columns, rows);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const at = 4 * (row * columns + column);
      pixels.data[at] = color[0];
      pixels.data[at + 1] = color[1];
      pixels.data[at + 2] = color[2];
      pixels.data[at + 3] = Math.round(255 * Math.sqrt(Math.max(0, Math.min(1, value(row, column)))));
    }
  }
  ctx.putImageData(pixels, 0, 0);
  return image;
}
