import * as text from '../../ui/text';
import type { CheckpointInfo } from '../../protocol';
import type { GenerateRequest } from '../contract';
import { fill, h, setText } from './dom';
import { saveState, savedState } from './host';

/** The lesson's prompts. */
const PROMPTS = ['ROMEO:', 'JULIET:', 'KING:', 'GHOST:', 'To be or not', 'What is'];
const DEFAULTS = { prompt: 'ROMEO:', temperature: 0.8, topK: 0, topP: 1, length: 200, seed: 1337 };

type Setting = 'temperature' | 'topK' | 'topP' | 'length' | 'seed';

/** What the playground generates with: checkpoint, prompt and sampling. Kept while the page is hidden. */
export class PlaygroundSettings {
  readonly promptCard: HTMLElement;
  readonly samplingCard: HTMLElement;
  private readonly prompt: HTMLTextAreaElement;
  private readonly checkpoint: HTMLSelectElement;
  private readonly numbers: Record<Setting, HTMLInputElement>;

  constructor(
    generateButton: HTMLElement,
    generate: () => void,
    private readonly onChange: () => void,
  ) {
    const saved = { ...DEFAULTS, ...savedState().playground };
    const changed = (): void => this.changed();
    this.prompt = h('textarea', { id: 'prompt', rows: 2, spellcheck: 'false', oninput: changed });
    this.prompt.value = saved.prompt;
    this.prompt.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        generate();
      }
    });
    this.checkpoint = h('select', {
      id: 'checkpoint',
      onchange: () => {
        saveState({ checkpoint: this.checkpoint.value });
        this.onChange();
      },
    });
    const number = (value: number, attributes: Record<string, string | number>): HTMLInputElement => {
      const input = h('input', { ...attributes, oninput: changed });
      input.value = String(value);
      return input;
    };
    this.numbers = {
      temperature: number(saved.temperature, {
        id: 'temperature',
        type: 'range',
        min: 0,
        max: 1.5,
        step: 0.05,
      }),
      topP: number(saved.topP, { id: 'topP', type: 'range', min: 0.05, max: 1, step: 0.05 }),
      topK: number(saved.topK, { id: 'topK', type: 'number', min: 0, max: 1000, step: 1 }),
      length: number(saved.length, { id: 'length', type: 'number', min: 1, max: 5000, step: 10 }),
      seed: number(saved.seed, { id: 'seed', type: 'number', min: 0, step: 1 }),
    };
    this.promptCard = h(
      'section',
      { class: 'card controls area-prompt', 'aria-label': 'Prompt' },
      field('checkpoint', 'Checkpoint', this.checkpoint),
      field('prompt', 'Prompt', this.prompt),
      h(
        'div',
        { class: 'chips', role: 'group', 'aria-label': 'Prompts to try' },
        ...PROMPTS.map((prompt) =>
          h(
            'button',
            {
              class: 'chip',
              onclick: () => {
                this.prompt.value = prompt;
                changed();
              },
            },
            prompt,
          ),
        ),
      ),
      h('div', { class: 'row' }, generateButton, h('span', { class: 'hint' }, 'Ctrl+Enter')),
    );
    this.samplingCard = h(
      'section',
      { class: 'card controls area-sampling', 'aria-label': 'Sampling' },
      slider(
        'temperature',
        'Temperature',
        this.numbers.temperature,
        'Low: likely tokens, repetitive. High: more entropy, more errors.',
      ),
      slider(
        'topP',
        'Top-p',
        this.numbers.topP,
        'Sample only from the likeliest tokens that together have this probability; 1 = off.',
      ),
      h(
        'div',
        { class: 'row fields' },
        field('topK', 'Top-k', this.numbers.topK),
        field('length', 'Length', this.numbers.length),
        field('seed', 'Seed', this.numbers.seed),
      ),
      h(
        'p',
        { class: 'hint' },
        'Top-k: sample only from this many of the likeliest tokens; 0 = off. The same seed gives the same text.',
      ),
    );
  }

  /** The checkpoints to choose from, oldest first; `wanted` is chosen where it is one of them. */
  setCheckpoints(checkpoints: readonly CheckpointInfo[], wanted = this.checkpoint.value): void {
    const signature = checkpoints.map(({ path, best }) => `${path} ${best}`).join('|');
    if (this.checkpoint.dataset['signature'] !== signature) {
      this.checkpoint.dataset['signature'] = signature;
      fill(
        this.checkpoint,
        h('option', { value: '' }, 'newest'),
        ...[...checkpoints].reverse().map(({ path, step, valLoss, best }) => {
          const label = `step ${text.count(step)}`;
          return h(
            'option',
            { value: path },
            [label, valLoss === null ? '' : `val ${text.loss(valLoss)}`, best ? 'best' : '']
              .filter(Boolean)
              .join(' · '),
          );
        }),
      );
    }
    this.checkpoint.value = checkpoints.some(({ path }) => path === wanted) ? wanted : '';
  }

  /** Put the cursor into the prompt; `all` selects what is there. */
  focus(all = true): void {
    this.prompt.focus();
    if (all) {
      this.prompt.select();
    }
  }

  addToPrompt(words: string): void {
    this.prompt.value += words;
    this.save();
  }

  /** What a run is asked for. */
  request(runId: string): GenerateRequest {
    const { temperature, topK, topP, length, seed } = this.values();
    return {
      runId,
      checkpoint: this.checkpoint.value || null,
      prompt: this.prompt.value,
      sampling: { maxNewTokens: length, temperature, topK, topP, repetitionPenalty: null, seed },
    };
  }

  private values(): Record<Setting, number> {
    const value = (name: Setting): number => {
      const typed = Number(this.numbers[name].value);
      return this.numbers[name].value === '' || !Number.isFinite(typed) ? DEFAULTS[name] : typed;
    };
    return {
      temperature: value('temperature'),
      topK: Math.max(0, Math.round(value('topK'))),
      topP: value('topP'),
      length: Math.max(1, Math.round(value('length'))),
      seed: Math.max(0, Math.round(value('seed'))),
    };
  }

  private changed(): void {
    this.save();
    this.onChange();
  }

  private save(): void {
    for (const name of ['temperature', 'topP'] as const) {
      const output = this.samplingCard.querySelector(`output[for="${name}"]`);
      if (output) {
        setText(output, Number(this.numbers[name].value).toFixed(2));
      }
    }
    saveState({ playground: { prompt: this.prompt.value, ...this.values() } });
  }
}

function field(id: string, label: string, control: HTMLElement): HTMLElement {
  return h('div', { class: 'field' }, h('label', { for: id }, label), control);
}

function slider(id: string, label: string, control: HTMLInputElement, hint: string): HTMLElement {
  control.setAttribute('aria-describedby', `${id}-hint`);
  return h(
    'div',
    { class: 'field' },
    h(
      'div',
      { class: 'row spread' },
      h('label', { for: id }, label),
      h('output', { for: id }, Number(control.value).toFixed(2)),
    ),
    control,
    h('p', { id: `${id}-hint`, class: 'hint' }, hint),
  );
}
