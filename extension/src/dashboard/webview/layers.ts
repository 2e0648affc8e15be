import * as text from '../../ui/text';
import type { LayersEvent } from '../../protocol';
import { fill, h } from './dom';

const percent = (digits: number) => (value: number) => `${(100 * value).toFixed(digits)}%`;

interface Column {
  title: string;
  meaning: string;
  of: (layers: LayersEvent) => Readonly<Record<string, number>> | null;
  format: (value: number) => string;
}

const COLUMNS: readonly Column[] = [
  {
    title: 'Gradient norm',
    meaning: 'Length of the gradient before clipping.',
    of: (layers) => layers.grad_norm,
    format: (value) => value.toPrecision(3),
  },
  {
    title: 'Weight norm',
    meaning: 'Length of all weights of the layer together.',
    of: (layers) => layers.weight_norm,
    format: (value) => value.toPrecision(3),
  },
  {
    title: 'Update / weight',
    meaning:
      'How far one update moves the weights, as a share of their length. About 0.1% is usual after the warm-up.',
    of: (layers) => layers.update_ratio,
    format: percent(2),
  },
  {
    title: 'Activation RMS',
    meaning: 'Root mean square of what the layer puts out.',
    of: (layers) => layers.activation_rms,
    format: (value) => value.toPrecision(3),
  },
  {
    title: 'Attention entropy',
    meaning: 'Share of the greatest possible: 0% looks at one token, 100% at all alike.',
    of: (layers) => layers.attention_entropy,
    format: percent(0),
  },
  {
    title: 'Dead neurons',
    meaning: 'SwiGLU neurons that stay near 0 on the whole sample.',
    of: (layers) => layers.dead_neurons,
    format: percent(0),
  },
  {
    title: 'Effective rank',
    meaning: "Number of directions that the layer's output uses.",
    of: (layers) => layers.effective_rank,
    format: (value) => value.toFixed(1),
  },
];

/** What each layer did at the newest evaluation, as a table. */
export class Layers {
  readonly element = h('div', { class: 'layers', hidden: true });
  private shown: LayersEvent | undefined;

  show(layers: LayersEvent | undefined): void {
    if (layers === this.shown) {
      return;
    }
    this.shown = layers;
    this.element.hidden = layers === undefined;
    if (!layers) {
      return;
    }
    fill(
      this.element,
      h('h2', {}, `Layers at step ${text.count(layers.step)}`),
      h(
        'div',
        { class: 'layers-scroll', tabindex: '0', role: 'region', 'aria-label': 'Layers' },
        h(
          'table',
          {},
          h(
            'thead',
            {},
            h(
              'tr',
              {},
              h('th', { scope: 'col' }, 'Layer'),
              ...COLUMNS.map(({ title, meaning }) => h('th', { scope: 'col', title: meaning }, title)),
            ),
          ),
          h(
            'tbody',
            {},
            ...Object.keys(layers.activation_rms).map((layer) =>
              h(
                'tr',
                {},
                h('th', { scope: 'row' }, layer),
                ...COLUMNS.map(({ of, format }) => {
                  const value = of(layers)?.[layer];
                  return h('td', {}, value === undefined ? '' : format(value));
                }),
              ),
            ),
          ),
        ),
      ),
    );
  }
}
