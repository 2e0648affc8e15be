import type { InsideEmbeddingResult, InsidePoint } from '../../../protocol';
import { fill, h, setText, themeColor } from '../dom';
import { visibleText } from '../nextTokens';
import { ask, reason } from './asking';
import { palette, Picture } from './canvas';
import { FactsTable } from './facts';
import { onSight } from './visible';
import type { ModelRef } from './view';

/** A colour of the theme for each kind of token, and how it is called. */
const KINDS: Readonly<Record<InsidePoint['kind'], readonly [string, string]>> = {
  capital: ['charts-blue', 'capitals'],
  'lower case': ['charts-green', 'lower case'],
  digit: ['charts-yellow', 'digits'],
  punctuation: ['charts-red', 'punctuation'],
  space: ['charts-purple', 'blanks'],
  other: ['descriptionForeground', 'other'],
};
const EDGE = 16;
/** More tokens than these are drawn as dots: their texts would lie on each other. */
const TEXTS_AT_MOST = 400;

/** The tokens' embeddings as a map: what the model treats alike lies together. */
export class EmbeddingMap {
  readonly element: HTMLElement;
  private readonly status = h('p', { class: 'caption', role: 'status' });
  private readonly pointed = h('p', { class: 'detail' });
  private readonly legend = h('p', { class: 'legend' });
  private readonly projection = h(
    'select',
    { 'aria-label': 'How the map is drawn', onchange: () => this.ask() },
    h('option', { value: 'pca' }, 'PCA'),
    h('option', { value: 'umap' }, 'UMAP'),
  );
  private readonly facts = new FactsTable('Embeddings');
  private readonly picture: Picture;
  private readonly inSight: () => boolean;
  private model: ModelRef | undefined;
  private asked = '';
  private map: InsideEmbeddingResult | undefined;
  private near: InsidePoint | undefined;

  constructor() {
    this.picture = new Picture(
      (ctx, width, height) => this.draw(ctx, width, height),
      (width) => Math.min(420, 0.7 * width),
      {
        role: 'img',
        'aria-label': 'Map of the embeddings; the table below has the same points',
        onpointermove: (event: PointerEvent) => this.point(event),
        onpointerleave: () => this.point(undefined),
      },
    );
    this.element = h(
      'section',
      { class: 'card embedding', 'aria-label': 'Embeddings' },
      h('div', { class: 'row spread' }, h('h2', {}, 'Embeddings'), this.projection),
      this.status,
      this.legend,
      this.picture.element,
      this.pointed,
      this.facts.element,
    );
    this.inSight = onSight(this.element, () => this.ask());
  }

  /** The map of this model is wanted, once somebody looks. */
  setModel(model: ModelRef): void {
    this.model = model;
    if (this.inSight()) {
      this.ask();
    }
  }

  recolor(): void {
    this.showLegend();
    this.picture.redraw();
  }

  private ask(): void {
    const { model } = this;
    const projection = this.projection.value === 'umap' ? 'umap' : 'pca';
    const key = JSON.stringify([model, projection]);
    if (!model || key === this.asked) {
      return;
    }
    this.asked = key;
    setText(this.status, 'Drawing the map…');
    this.status.classList.remove('error');
    ask('trickster/insideEmbedding', { ...model, projection }).then(
      (map) => {
        if (key === this.asked) {
          this.show(map);
        }
      },
      (error: unknown) => {
        if (key === this.asked) {
          this.asked = '';
          setText(this.status, reason(error));
          this.status.classList.add('error');
        }
      },
    );
  }

  private show(map: InsideEmbeddingResult): void {
    this.map = map;
    this.near = undefined;
    const umap = this.projection.querySelector<HTMLOptionElement>('[value="umap"]');
    if (umap) {
      umap.disabled = !map.umapInstalled;
      setText(umap, map.umapInstalled ? 'UMAP' : 'UMAP (umap-learn is not installed)');
    }
    const share = map.explained?.reduce((a, b) => a + b, 0);
    const words = [
      map.projection === 'pca'
        ? 'The two directions in which the embeddings differ most.'
        : 'Neighbours lie together.',
      share === undefined ? '' : `They hold ${(100 * share).toFixed(0)} % of the variance.`,
      map.leftOut > 0 ? `${map.leftOut} tokens are not drawn.` : '',
    ];
    setText(this.status, words.filter(Boolean).join(' '));
    this.showLegend();
    this.facts.show(() => ({
      head: ['Token', 'Number', 'Kind', 'x', 'y'],
      rows: map.points.map(({ id, text, kind, x, y }) => [
        visibleText(text),
        String(id),
        kind,
        x.toFixed(3),
        y.toFixed(3),
      ]),
    }));
    this.picture.redraw();
  }

  private showLegend(): void {
    const kinds = new Set(this.map?.points.map(({ kind }) => kind));
    fill(
      this.legend,
      ...(Object.entries(KINDS) as [InsidePoint['kind'], readonly [string, string]][])
        .filter(([kind]) => kinds.has(kind))
        .map(([, [color, name]]) => {
          const swatch = h('span', { class: 'swatch' });
          swatch.style.background = themeColor(color, '#888');
          return h('span', { class: 'legend-entry' }, swatch, name);
        }),
    );
  }

  /** Where a point of the map is drawn. */
  private placing(width: number, height: number): (point: InsidePoint) => readonly [number, number] {
    const points = this.map?.points ?? [];
    const span = (values: number[]): readonly [number, number] => {
      const low = values.reduce((a, b) => Math.min(a, b), Infinity);
      const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
      return [low, high - low || 1];
    };
    const [left, wide] = span(points.map(({ x }) => x));
    const [bottom, tall] = span(points.map(({ y }) => y));
    return ({ x, y }) => [
      EDGE + ((x - left) / wide) * (width - 2 * EDGE),
      height - EDGE - ((y - bottom) / tall) * (height - 2 * EDGE),
    ];
  }

  private draw(ctx: CanvasRenderingContext2D, width: number, height: number): void {
    const points = this.map?.points ?? [];
    const colors = palette();
    const place = this.placing(width, height);
    ctx.font = `12px ${themeColor('editor-font-family', 'monospace')}`;
    ctx.textAlign = 'center';
    ctx.textBaseline = 'middle';
    const dots = points.length > TEXTS_AT_MOST;
    for (const point of points) {
      const [x, y] = place(point);
      ctx.fillStyle = themeColor(KINDS[point.kind][0], colors.soft);
      if (dots || point.kind === 'other' || point.kind === 'space') {
        ctx.beginPath();
        ctx.arc(x, y, point.kind === 'other' ? 1.5 : 2.5, 0, 2 * Math.PI);
        ctx.fill();
      } else {
        ctx.fillText(visibleText(point.text), x, y);
      }
    }
    if (this.near) {
      const [x, y] = place(this.near);
      ctx.strokeStyle = colors.text;
      ctx.beginPath();
      ctx.arc(x, y, 9, 0, 2 * Math.PI);
      ctx.stroke();
    }
  }

  private point(event: PointerEvent | undefined): void {
    const { clientWidth, clientHeight } = this.picture.element;
    const place = this.placing(clientWidth, clientHeight);
    let best = 20 ** 2; // square pixels: farther away nothing is meant
    this.near = undefined;
    for (const point of event ? (this.map?.points ?? []) : []) {
      const [x, y] = place(point);
      const away = (x - (event?.offsetX ?? 0)) ** 2 + (y - (event?.offsetY ?? 0)) ** 2;
      if (away < best) {
        best = away;
        this.near = point;
      }
    }
    setText(
      this.pointed,
      this.near ? `${visibleText(this.near.text)}: ${this.near.kind}, number ${this.near.id}` : '',
    );
    this.picture.redraw();
  }
}
