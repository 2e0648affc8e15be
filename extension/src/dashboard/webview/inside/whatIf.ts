import * as text from '../../../ui/text';
import type { InsideComponentOptions, InsideOutcome, InsideWhatIfResult } from '../../../protocol';
import { fill, h, setText } from '../dom';
import { visibleText } from '../nextTokens';
import { ask, reason } from './asking';
import { FactsTable } from './facts';
import { Latest } from './latest';
import { PatchForm } from './patchForm';
import { componentName, type Switches } from './switches';
import { TokenStrip } from './tokenStrip';
import type { Choice, ModelRef } from './view';

/** A change of loss, in nats, that is coloured as strongly as can be. */
const STRONG = 2;
/** A change of loss that is called one. */
const CHANGED = 0.005;

/** The text read by the model as it is, and with parts switched off or activations of another text in their place. */
export class WhatIf {
  readonly element: HTMLElement;
  private readonly parts = h('div', { class: 'parts' });
  private readonly active = h('div', {
    class: 'chips active',
    role: 'group',
    'aria-label': 'What is changed',
  });
  private readonly patch: PatchForm;
  private readonly status = h('p', { class: 'caption', role: 'status' });
  private readonly outcome: HTMLElement;
  private readonly verdict = h('p', { class: 'verdict', role: 'status' });
  private readonly strip: TokenStrip;
  private readonly before = h('pre', { class: 'sample' });
  private readonly after = h('pre', { class: 'sample' });
  private readonly facts = new FactsTable('Losses before and after');
  private readonly latest = new Latest();
  private layers = 0;
  private model: ModelRef | undefined;
  private words = '';
  private asked = '';

  constructor(
    private readonly switches: Switches,
    choose: (change: Partial<Choice>) => void,
    /** The loss has changed, or is again what it was: "". */
    private readonly told: (words: string) => void,
  ) {
    this.patch = new PatchForm((patch) => this.switches.patch(patch));
    this.strip = new TokenStrip(
      'Tokens, red where their loss has risen, green where it has fallen',
      'charts-red',
      (token) => choose({ token }),
    );
    this.outcome = h(
      'div',
      { class: 'outcome' },
      this.verdict,
      this.strip.element,
      h(
        'div',
        { class: 'twins' },
        h('section', { 'aria-label': 'Text of the model as it is' }, h('h3', {}, 'As it is'), this.before),
        h('section', { 'aria-label': 'Text of the changed model' }, h('h3', {}, 'Changed'), this.after),
      ),
      this.facts.element,
    );
    this.outcome.hidden = true;
    this.element = h(
      'section',
      { class: 'card what-if', 'aria-label': 'What if' },
      h('h2', {}, 'What if'),
      h(
        'p',
        { class: 'caption' },
        'Switch off a layer, its attention or its MLP here, a head or a neuron in its picture, and see what the model loses. The pictures stay those of the model as it is.',
      ),
      this.parts,
      this.patch.element,
      this.active,
      this.status,
      this.outcome,
    );
  }

  /** This model reads this text. */
  setQuestion(model: ModelRef, layers: number, words: string, choice: Choice): void {
    this.model = model;
    this.words = words;
    if (layers !== this.layers) {
      this.layers = layers;
      this.build();
    }
    this.patch.setChoice(layers, choice);
    this.update();
  }

  /** The chosen token. */
  mark(choice: Choice): void {
    this.patch.setChoice(this.layers, choice);
    this.strip.mark(choice.token);
  }

  /** What is switched off or patched has changed, or what it is asked of. */
  update(): void {
    this.parts.querySelectorAll<HTMLElement>('button').forEach((button) => {
      const part = JSON.parse(button.dataset['part'] ?? '{}') as InsideComponentOptions;
      button.setAttribute('aria-pressed', String(this.switches.has(part)));
    });
    this.showActive();
    const { model, switches } = this;
    const question = { ...model, text: this.words, switchedOff: switches.off, patches: switches.patches };
    const key = switches.empty ? '' : JSON.stringify(question);
    if (!model || key === this.asked) {
      return;
    }
    this.asked = key;
    if (key === '') {
      this.outcome.hidden = true;
      setText(this.status, '');
      this.told('');
      return;
    }
    setText(this.status, 'Reading the text twice…');
    this.status.classList.remove('error');
    this.latest.run(async () => {
      try {
        const result = await ask('trickster/insideWhatIf', {
          ...model,
          text: question.text,
          switchedOff: [...question.switchedOff],
          patches: [...question.patches],
        });
        if (key === this.asked) {
          setText(this.status, '');
          this.show(result);
        }
      } catch (error) {
        if (key === this.asked) {
          this.outcome.hidden = true;
          this.told('');
          setText(this.status, reason(error));
          this.status.classList.add('error');
        }
      }
    });
  }

  private build(): void {
    const button = (layer: number, part: 'layer' | 'attention' | 'mlp', label: string): HTMLElement => {
      const component = { part, layer };
      return h(
        'button',
        {
          class: 'chip',
          'data-part': JSON.stringify(component),
          'aria-label': `Switch off ${componentName(component)}`,
          onclick: () => this.switches.toggle(component),
        },
        label,
      );
    };
    fill(
      this.parts,
      ...Array.from({ length: this.layers }, (_, layer) =>
        h(
          'div',
          { class: 'chips', role: 'group', 'aria-label': `Layer ${layer}` },
          h('span', { class: 'hint' }, `Layer ${layer}`),
          button(layer, 'layer', 'whole'),
          button(layer, 'attention', 'attention'),
          button(layer, 'mlp', 'MLP'),
        ),
      ),
    );
  }

  private showActive(): void {
    const { switches } = this;
    const focused = this.active.contains(document.activeElement);
    const chip = (words: string, undo: () => void): HTMLElement =>
      h(
        'button',
        { class: 'chip off', onclick: undo, title: 'Undo', 'aria-label': `${words}. Undo.` },
        `${words} ✕`,
      );
    this.active.hidden = switches.empty;
    fill(
      this.active,
      ...switches.off.map((part) => chip(`off: ${componentName(part)}`, () => switches.toggle(part))),
      ...switches.patches.map((patch) =>
        chip(`patched: ${componentName(patch.component)} at token ${patch.position}`, () =>
          switches.unpatch(patch),
        ),
      ),
      h('button', { class: 'secondary', onclick: () => switches.clear() }, 'Undo All'),
    );
    if (focused) {
      const next = this.active.querySelector('button');
      (switches.empty ? this.parts.querySelector('button') : next)?.focus();
    }
  }

  private show({ before, after }: InsideWhatIfResult): void {
    this.outcome.hidden = false;
    const verdict = lossWords(before, after);
    setText(this.verdict, verdict);
    this.told(verdict);
    const changes = before.tokens.map((token, index) => {
      const now = after.tokens[index]?.loss ?? null;
      return token.loss === null || now === null ? 0 : now - token.loss;
    });
    const shown = (value: number | null | undefined): string => value?.toFixed(2) ?? '–';
    this.strip.show(
      before.tokens.map((token, index) => {
        const change = changes[index] ?? 0;
        return {
          text: token.text,
          words: `loss ${shown(token.loss)}, changed ${shown(after.tokens[index]?.loss)}`,
          shade: Math.abs(change) / STRONG,
          color: change > 0 ? 'charts-red' : 'charts-green',
        };
      }),
    );
    fill(this.before, continuationWords(before));
    fill(this.after, continuationWords(after));
    this.facts.show(() => ({
      head: ['Position', 'Token', 'As it is', 'Changed', 'Difference'],
      rows: before.tokens.map((token, index) => [
        String(index),
        visibleText(token.text),
        shown(token.loss),
        shown(after.tokens[index]?.loss),
        token.loss === null ? '–' : shown(changes[index]),
      ]),
    }));
  }
}

function continuationWords({ continuation }: InsideOutcome): string {
  return continuation.trim() === '' ? '(only blanks)' : text.printable(continuation);
}

function lossWords(before: InsideOutcome, after: InsideOutcome): string {
  if (before.loss === null || after.loss === null) {
    return 'A text of one token has no loss.';
  }
  const change = after.loss - before.loss;
  const verdict =
    Math.abs(change) < CHANGED
      ? 'it hardly matters for this text'
      : `${Math.abs(change).toFixed(3)} ${change > 0 ? 'worse' : 'better'}`;
  return `Loss ${before.loss.toFixed(3)} → ${after.loss.toFixed(3)} nats/token: ${verdict}.`;
}
