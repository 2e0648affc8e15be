import uPlot from 'uplot';
import type { Phase } from '../../protocol';
import { drawBaselines, drawPhases, faded, type Baseline } from './chartMarks';
import { reading, type Curve, type Readable } from './curves';
import { h, setText, themeColor } from './dom';
import { thin } from './series';

interface ChartOptions extends Readable {
  title: string;
  height: number;
}

const LOSS_FONT = '11px';
/** Validation losses above the axis that the phases' names take. */
const HEADROOM = 0.16;

/**
 * A chart over steps. Draws what is visible at the resolution of the screen, so that its cost does not grow with the
 * length of the run. Drag to zoom, double click to see everything; with the keyboard the arrows read the values out.
 */
export class StepChart {
  readonly element: HTMLElement;
  private readonly title: HTMLElement;
  private readonly holder: HTMLElement;
  private readonly legend: HTMLElement;
  private readonly waiting: HTMLElement;
  private plot: uPlot | undefined;
  private curves: Curve[] = [];
  private baselines: Baseline[] = [];
  private phases: Phase[] = [];
  private zoom: [number, number] | undefined;
  /** The steps that a live run will make; undefined when it has ended. */
  private planned: number | undefined;
  private frame = 0;
  /** Whether any of it can be seen: what nobody sees is drawn when somebody scrolls there. */
  private visible = false;
  private outdated = false;
  private shape = '';
  private focused: number | undefined;

  constructor(private readonly options: ChartOptions) {
    this.legend = h('p', { class: 'legend', 'aria-live': 'off' });
    this.holder = h('div', {
      class: 'plot',
      tabindex: 0,
      role: 'img',
      'aria-label': options.title,
      onkeydown: (event: KeyboardEvent) => this.key(event),
      onpointermove: () => this.endReading(),
      onblur: () => {
        this.endReading();
        this.hideCursor();
      },
    });
    this.title = h('h2', {}, options.title);
    this.waiting = h('p', { class: 'waiting' }, 'Waiting for the first steps');
    this.element = h(
      'section',
      { class: `card chart ${options.losses ? 'chart-large' : ''}`, 'aria-label': options.title },
      this.title,
      this.legend,
      h('div', { class: 'plot-frame' }, this.holder, this.waiting),
    );
    new ResizeObserver(() => this.resize()).observe(this.holder);
    new IntersectionObserver((entries) => {
      this.visible = entries.at(-1)?.isIntersecting ?? false;
      if (this.visible && this.outdated) {
        this.draw();
      }
    }).observe(this.element);
  }

  /** Show these runs from now on, under another title where what is measured has changed. */
  setCurves(
    curves: Curve[],
    baselines: Baseline[],
    phases: Phase[],
    planned: number | undefined,
    title = this.options.title,
  ): void {
    setText(this.title, title);
    if (curves[0]?.series !== this.curves[0]?.series) {
      this.zoom = undefined;
      this.endReading();
    }
    this.curves = curves;
    this.baselines = baselines;
    this.phases = phases;
    this.planned = planned;
    this.draw();
  }

  /** Draw again soon; many calls within a frame are one. */
  draw(): void {
    this.outdated = true;
    if (this.visible && this.frame === 0) {
      this.frame = requestAnimationFrame(() => {
        this.frame = 0;
        this.outdated = false;
        this.drawNow();
      });
    }
  }

  /** The theme has changed. */
  recolor(): void {
    this.shape = '';
    this.draw();
  }

  /** What is shown while nobody has zoomed: of a live run up to twice what is done, so that its curve has room. */
  private range(): [number, number] {
    if (this.zoom) {
      return this.zoom;
    }
    const done = Math.max(1, ...this.curves.map(({ series }) => series.lastStep()));
    return [0, this.planned === undefined ? done : Math.min(this.planned, 2 * done)];
  }

  private drawNow(): void {
    const width = this.holder.clientWidth;
    if (width === 0) {
      return;
    }
    const waiting = this.curves.every(({ series }) => series.steps.length === 0 && series.evals.length === 0);
    if (this.waiting.hidden === waiting) {
      this.waiting.hidden = !waiting;
    }
    const [from, to] = this.range();
    const columns = Math.max(50, width);
    const tables: uPlot.AlignedData[] = [];
    for (const { series, scale = 1 } of this.curves) {
      const [steps, values] = thin(series, this.options.measure, from, to, columns);
      tables.push([steps, scale === 1 ? values : values.map((value) => scale * value)]);
      if (this.options.losses) {
        tables.push([
          series.evals.map((event) => event.step),
          series.evals.map((event) => scale * event.val_loss),
        ]);
      }
    }
    const data: uPlot.AlignedData = tables.length > 0 ? uPlot.join(tables) : [[]];
    const shape = this.curves.map(({ name, color }) => `${name} ${color}`).join('|');
    if (!this.plot || shape !== this.shape) {
      this.plot?.destroy();
      this.plot = new uPlot(this.plotOptions(width), data, this.holder);
      this.shape = shape;
    } else {
      this.plot.setData(data, false);
    }
    this.plot.setScale('x', { min: from, max: to });
    this.describe();
  }

  private plotOptions(width: number): uPlot.Options {
    const grid = faded(themeColor('foreground', '#888'), 0.12);
    const text = themeColor('descriptionForeground', '#888');
    const font = `${LOSS_FONT} ${getComputedStyle(document.body).fontFamily}`;
    const axis = {
      stroke: text,
      font,
      grid: { stroke: grid, width: 1 },
      ticks: { stroke: grid, width: 1, size: 4 },
    };
    const series: uPlot.Series[] = [{}];
    for (const { name, color } of this.curves) {
      const stroke = themeColor(color, '#48f');
      series.push({
        label: `${name} training`,
        stroke: this.options.losses ? faded(stroke) : stroke,
        width: 1.25,
        spanGaps: true,
        points: { show: false },
      });
      if (this.options.losses) {
        series.push({
          label: `${name} validation`,
          stroke,
          width: 2,
          spanGaps: true,
          points: { show: true, size: 5, fill: stroke },
        });
      }
    }
    return {
      width,
      height: this.options.height,
      padding: [12, 22, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
      scales: {
        x: { time: false },
        y: {
          range: (_plot, low, high) => this.valueRange(low, high),
        },
      },
      axes: [
        { ...axis, size: 30, values: (_plot, ticks) => ticks.map((tick) => tick.toLocaleString('en-US')) },
        { ...axis, size: 54, values: (_plot, ticks) => ticks.map((tick) => this.options.format(tick)) },
      ],
      series,
      hooks: {
        drawClear: [(plot) => drawPhases(plot, this.phases, this.options.losses === true)],
        draw: [(plot) => drawBaselines(plot, this.baselines)],
        setCursor: [() => this.describe()],
        setSelect: [
          (plot) => {
            if (plot.select.width > 4) {
              this.zoom = [
                plot.posToVal(plot.select.left, 'x'),
                plot.posToVal(plot.select.left + plot.select.width, 'x'),
              ];
              plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
              this.draw();
            }
          },
        ],
        ready: [
          (plot) =>
            plot.over.addEventListener('dblclick', () => {
              this.zoom = undefined;
              this.draw();
            }),
        ],
      },
    };
  }

  private valueRange(low: number | null, high: number | null): [number, number] {
    let bottom = low ?? 0;
    let top = high ?? 1;
    if (this.options.losses && !this.zoom) {
      const values = this.baselines.map((baseline) => baseline.value);
      bottom = Math.min(bottom, ...values);
      top = Math.max(top, ...values);
    } else if (!this.options.losses) {
      bottom = Math.min(0, bottom);
    }
    const room = (top - bottom || 1) * (this.options.losses ? HEADROOM : 0.08);
    return [this.options.losses ? Math.max(0, bottom - room) : bottom, top + room];
  }

  private resize(): void {
    const width = this.holder.clientWidth;
    if (this.plot && width > 0 && Math.abs(this.plot.width - width) > 1) {
      this.plot.setSize({ width, height: this.options.height });
      this.draw();
    } else if (!this.plot) {
      this.draw();
    }
  }

  /** The values under the cursor, or the last ones: as a legend, and as the text that a screen reader finds. */
  private describe(): void {
    const plot = this.plot;
    const index = this.focused ?? plot?.cursor.idx ?? undefined;
    const step = index === undefined ? undefined : plot?.data[0][index];
    const entries = this.curves.map((curve) => reading(curve, step, this.options, this.curves.length > 1));
    const where = step === undefined ? '' : `step ${step.toLocaleString('en-US')}: `;
    const key = `${where}${entries.map(({ color, words }) => `${color} ${words}`).join('; ')}`;
    if (this.legend.dataset['key'] === key) {
      return;
    }
    this.legend.dataset['key'] = key;
    this.legend.replaceChildren(
      where,
      ...entries.map(({ color, words }) => {
        const swatch = h('span', { class: 'swatch' });
        swatch.style.background = color;
        return h('span', { class: 'legend-entry' }, swatch, words);
      }),
    );
    this.holder.setAttribute(
      'aria-label',
      `${this.title.textContent}. ${where}${entries.map(({ words }) => words).join('; ')}`,
    );
  }

  private key(event: KeyboardEvent): void {
    const length = this.plot?.data[0].length ?? 0;
    if (!this.plot || length === 0) {
      return;
    }
    const page = Math.max(1, Math.round(length / 20));
    const moves: Record<string, number> = {
      ArrowLeft: -1,
      ArrowRight: 1,
      PageUp: -page,
      PageDown: page,
      Home: -length,
      End: length,
    };
    const move = moves[event.key];
    if (move === undefined) {
      if (event.key === 'Escape') {
        this.endReading();
        this.hideCursor();
        this.zoom = undefined;
        this.draw();
      }
      return;
    }
    event.preventDefault();
    this.focused = Math.max(0, Math.min(length - 1, (this.focused ?? length - 1) + move));
    const step = this.plot.data[0][this.focused] ?? 0;
    this.plot.setCursor({ left: this.plot.valToPos(step, 'x'), top: 0 });
    this.legend.setAttribute('aria-live', 'polite');
    this.describe();
  }

  /** The keyboard reads no more: the legend follows the pointer again, and in silence. */
  private endReading(): void {
    this.focused = undefined;
    this.legend.setAttribute('aria-live', 'off');
  }

  private hideCursor(): void {
    this.plot?.setCursor({ left: -10, top: -10 });
  }
}
