import { h } from '../dom';
import { FactsTable } from './facts';
import { depthNames } from './lens';
import { LineChart } from './lines';
import type { Seen } from './numbers';

/** How long the residual stream is after each layer, and how much attention and MLP add to it. */
export class Stream {
  readonly element: HTMLElement;
  private readonly chart = new LineChart(
    'Norms of the residual stream by layer; the table below has the values',
    (depth) => (depth === 0 ? 'embedding' : `layer ${depth - 1}`),
  );
  private readonly facts = new FactsTable('Residual stream');

  constructor() {
    this.element = h(
      'section',
      { class: 'card', 'aria-label': 'Residual stream' },
      h('h2', {}, 'Residual stream'),
      h(
        'p',
        { class: 'caption' },
        'Its length (norm) at the chosen token after each layer, the mean over all tokens, and what attention and MLP add.',
      ),
      this.chart.element,
      this.facts.element,
    );
  }

  show({ stream, result }: Seen, token: number): void {
    if (!stream) {
      return;
    }
    const { layers } = result.model;
    const depths = Array.from({ length: layers + 1 }, (_, depth) => depth);
    const mean = (depth: number): number => {
      const row = stream.residual.row(depth);
      return row.reduce((a, b) => a + b, 0) / Math.max(1, row.length);
    };
    const here = depths.map((depth) => stream.residual.at(depth, token));
    const means = depths.map(mean);
    const added = (part: 'attention' | 'mlp'): (number | null)[] =>
      depths.map((depth) => (depth === 0 ? null : stream[part].at(depth - 1, token)));
    const attention = added('attention');
    const mlp = added('mlp');
    this.chart.show(depths, [
      { name: `stream at token ${token}`, color: 'charts-blue', values: here },
      { name: 'stream, mean', color: 'descriptionForeground', values: means, dash: [2, 3] },
      { name: 'attention adds', color: 'charts-green', values: attention, dash: [6, 3] },
      { name: 'MLP adds', color: 'charts-purple', values: mlp, dash: [10, 4] },
    ]);
    const shown = (value: number | null | undefined): string => value?.toFixed(2) ?? '–';
    this.facts.show(() => ({
      head: ['After', `Stream at token ${token}`, 'Stream, mean', 'Attention adds', 'MLP adds'],
      rows: depthNames(layers).map((name, depth) => [
        name,
        ...[here, means, attention, mlp].map((values) => shown(values[depth])),
      ]),
    }));
  }

  recolor(): void {
    this.chart.draw();
  }
}
