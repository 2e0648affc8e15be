import type { InsideHistoryResult } from '../../../protocol';
import * as text from '../../../ui/text';
import { h, setText } from '../dom';
import { ask, reason } from './asking';
import { FactsTable } from './facts';
import { LineChart } from './lines';
import { BEHAVIOUR_NAMES } from './numbers';
import type { Choice } from './view';

const COLORS = [
  'descriptionForeground',
  'charts-green',
  'charts-yellow',
  'charts-purple',
  'charts-red',
  'charts-blue',
] as const;

/** How the chosen head came to do what it does, over all checkpoints of the run. */
export class History {
  readonly element: HTMLElement;
  private readonly button = h('button', { class: 'secondary', onclick: () => void this.ask() });
  private readonly status = h('p', { class: 'caption', role: 'status' });
  private readonly chart = new LineChart(
    'What the head did at each checkpoint; the table below has the values',
    (step) => text.short(step),
    190,
  );
  private readonly losses = new LineChart(
    'Losses on repeated random tokens at each checkpoint; the table below has the values',
    (step) => text.short(step),
    120,
  );
  private readonly body: HTMLElement;
  private readonly facts = new FactsTable('The head over the run');
  private answer: InsideHistoryResult | undefined;
  private of = '';
  private asked = 0;
  private runId: string | undefined;
  private text: string | null = null;
  private choice: Choice = { token: 0, layer: 0, head: 0 };

  constructor() {
    this.body = h('div', {}, this.chart.element, this.losses.element, this.facts.element);
    this.body.hidden = true;
    this.element = h(
      'section',
      { class: 'card history', 'aria-label': 'How the head was born' },
      h('div', { class: 'row spread' }, h('h2', {}, 'How the head was born'), this.button),
      h(
        'p',
        { class: 'caption' },
        'The mean share of its attention that goes to each kind of token, and the loss on random tokens that are repeated: an induction head makes it fall.',
      ),
      this.status,
      this.body,
    );
  }

  /** This run, this text and this head are looked at now. */
  setQuestion(runId: string, words: string | null, choice: Choice): void {
    this.runId = runId;
    this.text = words;
    const otherHead = choice.layer !== this.choice.layer || choice.head !== this.choice.head;
    this.choice = choice;
    const key = JSON.stringify([runId, words]);
    if (key !== this.of) {
      this.of = key;
      this.asked++;
      this.answer = undefined;
      setText(this.status, '');
      this.body.hidden = true;
      setText(this.button, 'Look at All Checkpoints');
      this.button.disabled = false;
    } else if (otherHead) {
      this.draw();
    }
  }

  recolor(): void {
    this.chart.draw();
    this.losses.draw();
  }

  private async ask(): Promise<void> {
    const { runId } = this;
    if (runId === undefined) {
      return;
    }
    const mine = ++this.asked;
    this.button.disabled = true;
    setText(this.status, 'Reading every checkpoint…');
    this.status.classList.remove('error');
    try {
      const answer = await ask('trickster/insideHistory', { runId, text: this.text });
      if (mine === this.asked) {
        this.answer = answer;
        const left = answer.unreadable.length;
        setText(this.status, left > 0 ? `${left} checkpoints could not be read.` : '');
        setText(this.button, 'Look Again');
        this.draw();
      }
    } catch (error) {
      if (mine === this.asked) {
        setText(this.status, reason(error));
        this.status.classList.add('error');
      }
    } finally {
      if (mine === this.asked) {
        this.button.disabled = false;
      }
    }
  }

  private draw(): void {
    const moments = this.answer?.moments;
    if (!moments) {
      return;
    }
    this.body.hidden = false;
    const { layer, head } = this.choice;
    const own = moments.map((moment) => moment.heads.find((one) => one.layer === layer && one.head === head));
    const steps = moments.map(({ step }) => step);
    this.chart.show(steps, [
      ...BEHAVIOUR_NAMES.map(([key, name], index) => ({
        name: `to ${name}`,
        color: COLORS[index] ?? 'foreground',
        values: own.map((one) => one?.[key] ?? null),
        dash: index % 2 === 0 ? [] : [7, 3],
      })),
    ]);
    this.losses.show(steps, [
      {
        name: 'loss on random tokens, first time',
        color: 'descriptionForeground',
        values: moments.map(({ repeatFirst }) => repeatFirst),
        dash: [7, 3],
      },
      {
        name: 'the same tokens, second time',
        color: 'charts-blue',
        values: moments.map(({ repeatSecond }) => repeatSecond),
      },
    ]);
    const share = (value: number | null | undefined): string => value?.toFixed(2) ?? '–';
    this.facts.show(() => ({
      head: [
        'Step',
        ...BEHAVIOUR_NAMES.map(([, name]) => `To ${name}`),
        'Loss on the text',
        'Random tokens, first time',
        'Random tokens, second time',
      ],
      rows: moments.map((moment, index) => [
        text.count(moment.step),
        ...BEHAVIOUR_NAMES.map(([key]) => share(own[index]?.[key])),
        share(moment.loss),
        share(moment.repeatFirst),
        share(moment.repeatSecond),
      ]),
    }));
  }
}
