import * as text from '../../ui/text';
import { hasLongTokens } from '../../runs/measures';
import type { CompareResult, RunInfo } from '../../protocol';
import type { Comparison } from '../contract';
import { fill, h, setText } from './dom';
import { send } from './host';

/** The trained model beside a random twin: both texts, and the losses as bars. */
export class Proof {
  readonly element: HTMLElement;
  private readonly status: HTMLElement;
  private readonly button: HTMLButtonElement;
  private readonly result: HTMLElement;
  private run: RunInfo | undefined;
  private readonly comparisons = new Map<string, Comparison>();
  private drawn: CompareResult | undefined;

  constructor() {
    this.status = h('p', { class: 'caption', role: 'status' });
    this.button = h('button', { class: 'primary', onclick: () => this.start() }, 'Compare with Random');
    this.result = h('div');
    this.element = h(
      'div',
      { class: 'proof' },
      h(
        'section',
        { class: 'card' },
        h('h2', {}, 'Did it learn?'),
        h(
          'p',
          {},
          'The same architecture with fresh random weights, the same prompt, the same seed. Both are measured on text that neither has seen.',
        ),
        h('div', { class: 'row' }, this.button, this.status),
      ),
      this.result,
    );
  }

  setRun(run: RunInfo | undefined): void {
    this.run = run;
    this.draw();
  }

  start(): void {
    if (this.run && !this.button.disabled) {
      send({ type: 'compare', runId: this.run.runId });
    }
  }

  receive(comparison: Comparison): void {
    this.comparisons.set(comparison.runId, comparison);
    this.draw();
  }

  private draw(): void {
    const run = this.run;
    const kept = run && this.comparisons.get(run.runId);
    const { message, error, result } = (kept?.created === run?.created && kept) || {};
    const possible = run !== undefined && run.checkpoints.length > 0;
    this.button.disabled = !possible || message !== undefined;
    this.status.classList.toggle('error', error !== undefined);
    setText(this.status, possible ? (message ?? error ?? '') : 'Possible from the first checkpoint on.');
    if (this.drawn !== result) {
      this.drawn = result;
      fill(this.result, result && run && comparison(result, run));
    }
  }
}

/** What `trickster compare --json` prints, as far as it is drawn here. */
interface Figures {
  checkpoint: string;
  rows: { name: string; nats: number; bits_per_character: number }[];
  samples: { prompt: string; random: string; trained: string }[];
  texts: Record<string, { longest_copied_run: number; copied: string; real_word_share: number }>;
  /** Characters of each of the texts, and the temperature that the models wrote them at. */
  characters: number;
  temperature: number;
}

/** How each row of the table is called on the page, and what it means. */
const ROW_WORDS: Readonly<Record<string, [string, string]>> = {
  uniform: ['Guessing', 'every token equally likely'],
  unigram: ['Letter counts', 'how often each character occurs'],
  bigram: ['Pairs', 'counting what follows each character'],
  trigram: ['Triples', 'counting what follows each pair'],
  'random model': ['Untrained model', 'the same shape, random weights'],
  'this model': ['This model', 'after training'],
};
/** The same where tokens are pieces of words. */
const TOKEN_ROW_WORDS: typeof ROW_WORDS = {
  ...ROW_WORDS,
  unigram: ['Token counts', 'how often each token occurs'],
  bigram: ['Pairs', 'counting what follows each token'],
};

function comparison(result: CompareResult, run: RunInfo): HTMLElement {
  const data = result.data as Partial<Figures> | null;
  if (!data?.rows || !data.samples) {
    return h('pre', { class: 'card output' }, result.report);
  }
  const most = Math.max(...data.rows.map((row) => row.nats));
  const words = hasLongTokens(run) ? TOKEN_ROW_WORDS : ROW_WORDS;
  return h(
    'div',
    { class: 'proof' },
    h(
      'section',
      { class: 'card' },
      h('h2', {}, 'Loss on held-out text'),
      h(
        'p',
        { class: 'caption' },
        'Shorter is better. Nats a token; in brackets bits a character.',
        data.checkpoint ? ` Checkpoint ${data.checkpoint.split(/[/\\]/).at(-1) ?? ''}.` : '',
      ),
      h(
        'table',
        { class: 'losses' },
        h(
          'tbody',
          {},
          ...data.rows.map((row) => {
            const [name, meaning] = words[row.name] ?? [row.name, ''];
            const bar = h('span', { class: 'bar' });
            bar.style.width = `${(100 * row.nats) / most}%`;
            return h(
              'tr',
              { class: row.name === 'this model' ? 'ours' : '' },
              h('th', { scope: 'row' }, name, h('span', { class: 'hint' }, meaning)),
              h('td', { class: 'track' }, bar),
              h(
                'td',
                { class: 'value' },
                `${row.nats.toFixed(3)} `,
                h('span', { class: 'hint' }, `(${row.bits_per_character.toFixed(2)})`),
              ),
            );
          }),
        ),
      ),
    ),
    ...data.samples.map((pair) =>
      h(
        'div',
        { class: 'twins' },
        h(
          'section',
          { class: 'card' },
          h('h2', {}, 'Untrained'),
          h('pre', { class: 'sample' }, h('b', {}, pair.prompt), text.printable(pair.random)),
        ),
        h(
          'section',
          { class: 'card' },
          h('h2', {}, 'Trained'),
          h('pre', { class: 'sample' }, h('b', {}, pair.prompt), text.printable(pair.trained)),
        ),
      ),
    ),
    data.texts && textFigures(data.texts, data.characters, data.temperature),
  );
}

function textFigures(
  texts: Figures['texts'],
  characters: number | undefined,
  temperature: number | undefined,
): HTMLElement {
  const copied = texts['this model']?.copied;
  return h(
    'section',
    { class: 'card' },
    h('h2', {}, 'Does it write words, and are they its own?'),
    characters !== undefined && temperature !== undefined
      ? h(
          'p',
          { class: 'caption' },
          `Of ${text.count(characters)} characters each: what the models wrote after the prompt at temperature ${temperature}, and held-out text. The report asks the same of more text, at another temperature, and so has other figures.`,
        )
      : null,
    h(
      'table',
      { class: 'figures' },
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          h('td', {}),
          h('th', { scope: 'col' }, 'Real words'),
          h('th', { scope: 'col' }, 'Longest copy'),
        ),
      ),
      h(
        'tbody',
        {},
        ...Object.entries(texts).map(([name, figures]) =>
          h(
            'tr',
            {},
            h('th', { scope: 'row' }, ROW_WORDS[name]?.[0] ?? 'Held-out text'),
            h('td', {}, `${(100 * figures.real_word_share).toFixed(0)} %`),
            h('td', {}, `${figures.longest_copied_run} characters`),
          ),
        ),
      ),
    ),
    copied
      ? h(
          'p',
          { class: 'caption' },
          'The longest stretch that the model copied from its training text: ',
          h('code', {}, text.printable(copied)),
        )
      : null,
  );
}
