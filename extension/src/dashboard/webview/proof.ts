import * as text from '../../ui/text';
import type { CompareResult, RunInfo } from '../../protocol';
import type { Comparison } from '../contract';
import { fill, h, setText } from './dom';
import { send } from './host';

/** The trained model beside an untrained model: both texts, and the losses as bars. */
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
    this.button = h(
      'button',
      { class: 'primary', onclick: () => this.start() },
      'Compare with Untrained Model',
    );
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
          'Compare the trained model with an untrained one: the same architecture, prompt and seed. Both are measured on the validation text, which neither was trained on.',
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
    setText(this.status, possible ? (message ?? error ?? '') : 'Available from the first checkpoint on.');
    if (this.drawn !== result) {
      this.drawn = result;
      fill(this.result, result && comparison(result));
    }
  }
}

/** What `trickster compare --json` prints, as far as it is drawn here. */
interface Figures {
  checkpoint: string;
  rows: { name: string; title: string; meaning: string; nats: number; bits_per_byte: number }[];
  samples: { prompt: string; random: string; trained: string }[];
  texts: Record<
    string,
    { title: string; longest_copied_run: number; copied: string; real_word_share: number }
  >;
  /** Characters of each of the texts, and the temperature that the models wrote them at. */
  characters: number;
  temperature: number;
}

function comparison(result: CompareResult): HTMLElement {
  const data = result.data as Partial<Figures> | null;
  if (!data?.rows || !data.samples) {
    return h('pre', { class: 'card output' }, result.report);
  }
  const fineTuned = data.rows.some((row) => row.name === 'starting weights');
  const most = Math.max(...data.rows.map((row) => row.nats));
  return h(
    'div',
    { class: 'proof' },
    h(
      'section',
      { class: 'card' },
      h('h2', {}, 'Validation loss'),
      h(
        'p',
        { class: 'caption' },
        'In nats/token; in brackets in bits/byte, to compare between tokenizers. Lower is better.',
        data.checkpoint ? ` Checkpoint ${data.checkpoint.split(/[/\\]/).at(-1) ?? ''}.` : '',
      ),
      h(
        'table',
        { class: 'losses' },
        h(
          'tbody',
          {},
          ...data.rows.map((row) => {
            const bar = h('span', { class: 'bar' });
            bar.style.width = `${(100 * row.nats) / most}%`;
            return h(
              'tr',
              { class: row.name === 'this model' ? 'ours' : '' },
              h('th', { scope: 'row' }, row.title, h('span', { class: 'hint' }, row.meaning)),
              h('td', { class: 'track' }, bar),
              h(
                'td',
                { class: 'value' },
                `${row.nats.toFixed(3)} `,
                h('span', { class: 'hint' }, `(${row.bits_per_byte.toFixed(2)})`),
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
          h('h2', {}, fineTuned ? 'Starting weights' : 'Untrained'),
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
    h('h2', {}, 'Real words and copied text'),
    characters !== undefined && temperature !== undefined
      ? h(
          'p',
          { class: 'caption' },
          `Measured on ${text.count(characters)} characters: generated after the prompt at temperature ${temperature}, and validation text. The training report measures more text at another temperature, so its figures differ.`,
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
        ...Object.values(texts).map((figures) =>
          h(
            'tr',
            {},
            h('th', { scope: 'row' }, figures.title),
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
          'The longest copy from the training text: ',
          h('code', {}, text.printable(copied)),
        )
      : null,
  );
}
