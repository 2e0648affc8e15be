import { h, setText } from '../dom';
import { Attention } from './attention';
import { EmbeddingMap } from './embedding';
import { Lens } from './lens';
import { Neurons } from './neurons';
import type { Seen } from './numbers';
import { Stream } from './stream';
import type { Switches } from './switches';
import { Tokens } from './tokens';

/** Which model is looked into. */
export interface ModelRef {
  runId: string;
  /** The checkpoint's folder; null: the newest, or none before training. */
  checkpoint: string | null;
  beforeTraining: boolean;
}

/** What the pictures are about. */
export interface Choice {
  token: number;
  layer: number;
  head: number;
}

/** One model's pictures. */
export class ModelView {
  readonly element: HTMLElement;
  private readonly title = h('h2', { class: 'model-title' });
  private readonly tokens: Tokens;
  private readonly attention: Attention;
  private readonly lens: Lens;
  private readonly stream = new Stream();
  private readonly neurons: Neurons;
  private readonly embedding = new EmbeddingMap();
  private seen: Seen | undefined;
  private model: ModelRef | undefined;

  constructor(choose: (change: Partial<Choice>) => void, switches: Switches) {
    this.tokens = new Tokens((token) => choose({ token }));
    this.attention = new Attention(
      choose,
      (layer, index) => switches.has({ part: 'head', layer, index }),
      (layer, index) => switches.toggle({ part: 'head', layer, index }),
    );
    this.lens = new Lens((token) => choose({ token }));
    this.neurons = new Neurons(
      (layer, index) => switches.has({ part: 'neuron', layer, index }),
      (layer, index) => switches.toggle({ part: 'neuron', layer, index }),
    );
    this.element = h(
      'div',
      { class: 'model-view' },
      this.title,
      this.tokens.element,
      this.attention.element,
      this.lens.element,
      h('div', { class: 'pair' }, this.stream.element, this.neurons.element),
      this.embedding.element,
    );
  }

  /** Show what a model computes. */
  show(name: string, model: ModelRef, seen: Seen, choice: Choice): void {
    setText(this.title, name);
    this.element.setAttribute('aria-label', name);
    this.model = model;
    this.seen = seen;
    this.embedding.setModel(model);
    this.choose(choice);
  }

  /** Show this token and this head. */
  choose(choice: Choice): void {
    const { seen, model } = this;
    if (!seen || !model) {
      return;
    }
    const { tokens, model: shape } = seen.result;
    const within = (value: number, count: number): number => Math.max(0, Math.min(value, count - 1));
    const token = within(choice.token, tokens.length);
    this.tokens.show(seen, token);
    this.attention.show(seen, {
      token,
      layer: within(choice.layer, shape.layers),
      head: within(choice.head, shape.heads),
    });
    this.lens.show(seen, token);
    this.stream.show(seen, token);
    this.neurons.show(seen, token, model);
  }

  /** What has become of the loss without the parts that are switched off. */
  setEffect(words: string): void {
    this.attention.setEffect(words);
  }

  recolor(): void {
    this.attention.recolor();
    this.stream.recolor();
    this.embedding.recolor();
  }
}
