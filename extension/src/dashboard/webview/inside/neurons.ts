import * as text from '../../../ui/text';
import type { InsideContext, InsideNeuronResult } from '../../../protocol';
import { fill, h, setText } from '../dom';
import { visibleText } from '../nextTokens';
import { ask, reason } from './asking';
import type { Seen } from './numbers';
import type { ModelRef } from './view';

const CONTEXTS = 8;

/** The MLPs' most active neurons at the chosen token; a click shows where in the text each of them is active too. */
export class Neurons {
  readonly element: HTMLElement;
  private readonly list = h('div', { class: 'neurons' });
  private readonly contexts = h('div', { class: 'contexts', 'aria-live': 'polite' });
  private model: ModelRef | undefined;
  private shown = '';
  private asked = 0;
  /** Says again whether the neuron whose contexts are shown is switched off. */
  private relabel = (): void => undefined;

  constructor(
    private readonly isOff: (layer: number, neuron: number) => boolean,
    private readonly switchNeuron: (layer: number, neuron: number) => void,
  ) {
    this.element = h(
      'section',
      { class: 'card', 'aria-label': 'Neurons' },
      h('h2', {}, 'Most active neurons'),
      h(
        'p',
        { class: 'caption' },
        'Of each layer’s MLP at the chosen token, with their activation. Choose one to see the contexts of the corpus that excite it.',
      ),
      this.list,
      this.contexts,
    );
  }

  show(seen: Seen, token: number, model: ModelRef): void {
    const { neurons, result } = seen;
    if (!neurons) {
      return;
    }
    if (this.model !== model) {
      this.model = model;
      this.shown = '';
      this.asked++;
      fill(this.contexts);
    }
    this.relabel();
    const focused = this.list.contains(document.activeElement)
      ? (document.activeElement as HTMLElement).dataset['key']
      : undefined;
    fill(
      this.list,
      ...Array.from({ length: result.model.layers }, (_, layer) =>
        h(
          'div',
          { class: 'chips', role: 'group', 'aria-label': `Layer ${layer}` },
          h('span', { class: 'hint' }, `Layer ${layer}`),
          ...neurons.ids.row(layer, token).map((neuron, place) => {
            const key = `${layer} ${neuron}`;
            const activation = neurons.activations.at(layer, token, place);
            return h(
              'button',
              {
                class: `chip ${this.isOff(layer, neuron) ? 'off' : ''}`,
                'data-key': key,
                'aria-pressed': String(key === this.shown),
                onclick: () => void this.open(layer, neuron),
              },
              `${neuron} `,
              h('span', { class: 'hint' }, signed(activation)),
            );
          }),
        ),
      ),
    );
    this.list.querySelector<HTMLElement>(`[data-key="${focused ?? ''}"]`)?.focus();
  }

  private async open(layer: number, neuron: number): Promise<void> {
    const { model } = this;
    if (!model) {
      return;
    }
    this.shown = `${layer} ${neuron}`;
    this.list
      .querySelectorAll<HTMLElement>('.chip')
      .forEach((chip) => chip.setAttribute('aria-pressed', String(chip.dataset['key'] === this.shown)));
    const mine = ++this.asked;
    if (model.beforeTraining) {
      fill(
        this.contexts,
        h('p', { class: 'caption' }, 'Contexts are shown of checkpoints, from the first on.'),
      );
      return;
    }
    fill(this.contexts, h('p', { class: 'caption' }, 'Reading the validation text…'));
    try {
      const { runId, checkpoint } = model;
      const answer = await ask('trickster/insideNeuron', {
        runId,
        checkpoint,
        layer,
        neuron,
        count: CONTEXTS,
      });
      if (mine === this.asked) {
        fill(this.contexts, ...this.about(layer, neuron, answer));
      }
    } catch (error) {
      if (mine === this.asked) {
        fill(this.contexts, h('p', { class: 'error', role: 'alert' }, reason(error)));
      }
    }
  }

  private about(layer: number, neuron: number, answer: InsideNeuronResult): HTMLElement[] {
    const button = h('button', { class: 'secondary switch-part' });
    this.relabel = () => setText(button, this.isOff(layer, neuron) ? 'Switch on' : 'Switch off');
    button.addEventListener('click', () => this.switchNeuron(layer, neuron));
    this.relabel();
    const tokens = (list: InsideNeuronResult['promotes']): string =>
      list
        .slice(0, 8)
        .map((token) => visibleText(token.text))
        .join(' · ');
    return [
      h('div', { class: 'row spread' }, h('h3', {}, `Layer ${layer}, neuron ${neuron}`), button),
      h(
        'p',
        { class: 'caption' },
        `Over ${text.count(answer.tokens)} tokens: mean ${signed(answer.mean)}, deviation ${answer.deviation.toFixed(2)}. A positive activation makes ${tokens(answer.promotes)} likelier and ${tokens(answer.suppresses)} less likely.`,
      ),
      h('h4', {}, 'Highest activations'),
      contextList(answer.highest),
      h('h4', {}, 'Lowest activations'),
      contextList(answer.lowest),
    ];
  }
}

function contextList(contexts: readonly InsideContext[]): HTMLElement {
  const shown = (words: string): string => text.printable(words.replaceAll('\n', '↵'));
  return h(
    'ol',
    { class: 'context-list' },
    ...contexts.map(({ before, token, after, activation }) =>
      h(
        'li',
        {},
        h('span', { class: 'value' }, signed(activation)),
        h('code', {}, shown(before), h('mark', {}, shown(token) || '·'), shown(after)),
      ),
    ),
  );
}

function signed(value: number): string {
  return `${value >= 0 ? '+' : '−'}${Math.abs(value).toFixed(2)}`;
}
