import * as text from '../../ui/text';
import { bitsPerByte, hasCheckpoint, textTable } from '../../runs/measures';
import type { RunInfo } from '../../protocol';
import { fill, h, setText } from './dom';
import { send } from './host';
import type { RunSeries } from './series';

export const STATE_WORDS: Readonly<Record<RunInfo['state'], string>> = {
  starting: 'Starting',
  preparing: 'Preparing the data',
  training: 'Training',
  evaluating: 'Evaluating',
  stopping: 'Saving and stopping',
  stopped: 'Stopped, saved',
  finished: 'Finished',
  failed: 'Failed',
  interrupted: 'Interrupted',
};

/** The top of the page: which run, how far it is, its figures and what it has to say. */
export class RunHeader {
  readonly elements: readonly HTMLElement[];
  private readonly runSelect = h('select', {
    id: 'run',
    'aria-label': 'Run',
    onchange: () => this.choose(this.runSelect.value),
  });
  private readonly badge = h('span', { class: 'badge' });
  private readonly facts = h('p', { class: 'caption facts' });
  private readonly actions = h('div', { class: 'row actions' });
  private readonly bar = h(
    'div',
    { class: 'progress', role: 'progressbar', 'aria-label': 'Training progress' },
    h('span'),
  );
  private readonly text = h('table', { class: 'text-facts' });
  private readonly textDetails = h(
    'details',
    { class: 'caption' },
    h('summary', {}, 'Training data'),
    this.text,
  );
  private readonly tiles = h('dl', { class: 'tiles' });
  private readonly notices = h('div', { class: 'notices' });

  constructor(private readonly choose: (runId: string) => void) {
    this.elements = [
      h('header', { class: 'head' }, h('div', { class: 'row' }, this.runSelect, this.badge), this.actions),
      this.bar,
      this.facts,
      this.textDetails,
      this.tiles,
      this.notices,
    ];
  }

  show(run: RunInfo, runs: readonly RunInfo[], series: RunSeries | undefined): void {
    this.showChoice(run, runs);
    this.showActions(run);
    this.showFacts(run);
    this.showText(run);
    this.showTiles(run, series);
    this.showNotices(run);
  }

  private showChoice(run: RunInfo, runs: readonly RunInfo[]): void {
    const names = runs.map((other) => `${other.runId} ${other.name}`).join('|');
    if (this.runSelect.dataset['names'] !== names) {
      this.runSelect.dataset['names'] = names;
      fill(this.runSelect, ...runs.map((other) => h('option', { value: other.runId }, other.name)));
    }
    this.runSelect.value = run.runId;
    setText(this.badge, STATE_WORDS[run.state]);
    this.badge.className = `badge ${run.state} ${run.live ? 'live' : ''}`;
  }

  private showActions(run: RunInfo): void {
    const { resumable } = run;
    const measurable = hasCheckpoint(run);
    const key = `${run.runId} ${run.live} ${run.state === 'stopping'} ${resumable} ${measurable}`;
    if (this.actions.dataset['key'] !== key) {
      this.actions.dataset['key'] = key;
      const act = (
        label: string,
        command: 'stop' | 'resume' | 'showSamples' | 'report' | 'revealRun',
        style = 'secondary',
      ): HTMLElement =>
        h(
          'button',
          {
            class: style,
            disabled: command === 'stop' && run.state === 'stopping',
            onclick: () => send({ type: 'command', command, runId: run.runId }),
          },
          label,
        );
      fill(
        this.actions,
        run.live && act('Stop', 'stop'),
        resumable && act('Resume', 'resume', 'primary'),
        measurable && act('Training Report', 'report'),
        act('Samples', 'showSamples'),
        act('Files', 'revealRun'),
      );
    }
  }

  private showFacts(run: RunInfo): void {
    const { train_characters: train, val_characters: held } = run.data as {
      train_characters?: number;
      val_characters?: number;
    };
    const facts = [
      run.parameters === null ? '' : `${text.count(run.parameters)} parameters`,
      run.device ?? '',
      train === undefined || held === undefined ? '' : `${text.count(train + held)} characters of text`,
    ];
    setText(this.facts, facts.filter(Boolean).join(' · '));
    const share = run.maxSteps ? Math.min(1, run.step / run.maxSteps) : 0;
    this.bar.setAttribute('aria-valuenow', String(Math.round(100 * share)));
    this.bar.classList.toggle('live', run.live);
    (this.bar.firstElementChild as HTMLElement).style.width = `${100 * share}%`;
  }

  /** The engine's own table of the text; absent in runs of earlier versions. */
  private showText(run: RunInfo): void {
    const rows = textTable(run.data);
    this.textDetails.hidden = rows.length === 0;
    const key = JSON.stringify(rows);
    if (this.text.dataset['key'] !== key) {
      this.text.dataset['key'] = key;
      fill(
        this.text,
        ...rows.map(([name, value]) =>
          h('tr', {}, h('th', { scope: 'row' }, name), h('td', {}, text.printable(value))),
        ),
      );
    }
  }

  private showTiles(run: RunInfo, series: RunSeries | undefined): void {
    const evaluation = series?.evals.at(-1);
    const speed = (run.live ? undefined : series?.meanSpeed()) ?? run.tokensPerSecond;
    const perplexity = evaluation?.perplexity ?? (run.valLoss === null ? null : Math.exp(run.valLoss));
    const tiles: [string, string, string][] = [
      ['Step', text.count(run.step), run.maxSteps ? `of ${text.count(run.maxSteps)}` : ''],
      ['Validation loss', run.valLoss === null ? '–' : run.valLoss.toFixed(3), measurement(run)],
      [
        'Perplexity',
        perplexity === null ? '–' : perplexity.toFixed(2),
        perplexity === null ? '' : 'effective choices per token',
      ],
      ['Training loss', run.trainLoss === null ? '–' : run.trainLoss.toFixed(3), 'on training batches'],
      [run.live ? 'Speed' : 'Mean speed', speed === null ? '–' : text.short(speed), 'tokens/s'],
      run.live
        ? ['Time left', run.etaSeconds === null ? '–' : text.duration(run.etaSeconds), 'at this speed']
        : [
            'Training time',
            run.seconds === null ? '–' : text.duration(run.seconds),
            `started ${text.ago(run.created)}`,
          ],
    ];
    if (this.tiles.children.length !== tiles.length) {
      fill(
        this.tiles,
        ...tiles.map(() =>
          h('div', { class: 'tile' }, h('dt'), h('dd', { class: 'number' }), h('dd', { class: 'note' })),
        ),
      );
    }
    tiles.forEach(([name, value, note], index) => {
      const [title, number, words] = this.tiles.children[index]?.children ?? [];
      if (title && number && words) {
        setText(title, name);
        setText(number, value);
        setText(words, note);
      }
    });
  }

  private showNotices({ notices }: RunInfo): void {
    const key = notices.map((notice) => `${notice.kind} ${notice.message}`).join('|');
    if (this.notices.dataset['key'] !== key) {
      this.notices.dataset['key'] = key;
      fill(
        this.notices,
        ...notices.map((notice) =>
          h(
            'div',
            { class: `notice ${notice.kind}`, role: notice.kind === 'error' ? 'alert' : 'note' },
            h('b', {}, notice.message),
            ' ',
            notice.advice,
          ),
        ),
      );
    }
  }
}

/** When the validation loss was measured, and the best so far where that was another time. */
function measurement(run: RunInfo): string {
  if (run.valLoss === null) {
    return 'soon';
  }
  const when = run.valStep === null ? '' : `at step ${text.count(run.valStep)}`;
  const best = run.bestValLoss ?? run.valLoss;
  const bits = bitsPerByte(run, run.valLoss);
  const inBits = bits === undefined ? '' : `${bits.toFixed(3)} bits/byte`;
  return [inBits, when, best < run.valLoss ? `best ${best.toFixed(3)}` : ''].filter(Boolean).join(' · ');
}
