import uPlot from 'uplot';
import { faded } from '../chartMarks';
import { fill, h, themeColor } from '../dom';

export interface Line {
  name: string;
  /** The theme's colour. */
  color: string;
  values: readonly (number | null)[];
  /** Dashes tell lines apart without their colours. */
  dash?: number[];
}

/** A small chart of a few lines over the same numbers. The table beside it has the values. */
export class LineChart {
  readonly element: HTMLElement;
  private readonly legend = h('p', { class: 'legend' });
  private readonly holder: HTMLElement;
  private plot: uPlot | undefined;
  private xs: readonly number[] = [];
  private lines: readonly Line[] = [];

  constructor(
    label: string,
    private readonly formatX: (value: number) => string,
    private readonly height = 170,
  ) {
    this.holder = h('div', { class: 'plot', role: 'img', 'aria-label': label });
    this.element = h('div', { class: 'lines' }, this.legend, this.holder);
    new ResizeObserver(() => {
      const width = this.holder.clientWidth;
      if (width > 0 && width !== this.plot?.width) {
        this.draw();
      }
    }).observe(this.holder);
  }

  show(xs: readonly number[], lines: readonly Line[]): void {
    this.xs = xs;
    this.lines = lines;
    this.draw();
  }

  /** Draw with the colours and the width of now. */
  draw(): void {
    const width = this.holder.clientWidth;
    if (width === 0 || this.xs.length === 0) {
      return;
    }
    this.plot?.destroy();
    fill(
      this.legend,
      ...this.lines.map(({ name, color }) => {
        const swatch = h('span', { class: 'swatch' });
        swatch.style.background = themeColor(color, '#48f');
        return h('span', { class: 'legend-entry' }, swatch, name);
      }),
    );
    const data = [[...this.xs], ...this.lines.map(({ values }) => [...values])] as uPlot.AlignedData;
    this.plot = new uPlot(this.options(width), data, this.holder);
  }

  private options(width: number): uPlot.Options {
    const grid = faded(themeColor('foreground', '#888'), 0.12);
    const axis = {
      stroke: themeColor('descriptionForeground', '#888'),
      font: `11px ${getComputedStyle(document.body).fontFamily}`,
      grid: { stroke: grid, width: 1 },
      ticks: { stroke: grid, width: 1, size: 4 },
    };
    const numbers = (_plot: uPlot, ticks: number[]): string[] =>
      ticks.map((tick) => String(+tick.toFixed(3)));
    return {
      width,
      height: this.height,
      padding: [8, 18, 0, 0],
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { time: false } },
      axes: [
        {
          ...axis,
          size: 28,
          values: (_plot, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? this.formatX(tick) : '')),
        },
        { ...axis, size: 44, values: numbers },
      ],
      series: [
        {},
        ...this.lines.map(({ name, color, dash }): uPlot.Series => {
          const stroke = themeColor(color, '#48f');
          return {
            label: name,
            stroke,
            width: 2,
            points: { show: true, size: 5, fill: stroke },
            ...(dash ? { dash } : {}),
          };
        }),
      ],
    };
  }
}
