import 'uplot/dist/uPlot.min.css';
import './styles.css';
import * as text from '../../common/text';
import { apply } from '../../runs/applying';
import {
  charactersPerToken,
  hasLongTokens,
  isMeasured,
  readsAnother,
  readsOtherTokens,
} from '../../runs/measures';
import type { Focus, RunView, Tab, ToDashboard } from '../contract';
import { CURVE_COLORS, StepChart, type Baseline, type Curve } from './charts';
import { fill, h, setText } from './dom';
import { onMessage, savedState, saveState, send } from './host';
import { Playground } from './playground';
import { Proof } from './proof';
import { SampleTimeline } from './samples';
import { RunSeries } from './series';

const TABS: readonly [Tab, string][] = [
  ['learning', 'Learning'],
  ['playground', 'Playground'],
  ['proof', 'Proof'],
];

const BASELINE_NAMES: Readonly<Record<string, string>> = {
  uniform: 'guessing',
  unigram: 'letter counts',
  bigram: 'pairs',
  trigram: 'triples',
};
/** The same where tokens are pieces of words. */
const TOKEN_BASELINE_NAMES: Readonly<Record<string, string>> = { ...BASELINE_NAMES, unigram: 'token counts' };

/** Charts are drawn anew at most this often while events come: drawing takes the processor from the training. */
const DRAW_INTERVAL_MS = 1000;
/** The list of runs follows the events that changed it; both are drawn as one. */
const DRAW_PATIENCE_MS = 100;

const STATE_WORDS: Readonly<Record<RunView['state'], string>> = {
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

/** The page: one run in front, others beside it in the charts. */
class Page {
  private runs: RunView[] = [];
  private readonly series = new Map<string, RunSeries>();
  private runId = savedState().runId;
  private compared = new Set(savedState().compared ?? []);
  private tab: Tab = savedState().tab ?? 'learning';
  private followed = '';
  private announced = '';
  private drawTimer = 0;
  private drawn = -Infinity;

  private readonly lossChart = new StepChart({
    title: 'Loss, in nats a token',
    measure: 'loss',
    height: 280,
    losses: true,
    format: (value) => value.toFixed(2),
  });
  private readonly smallCharts = [
    new StepChart({
      title: 'Learning rate',
      measure: 'lr',
      height: 130,
      format: (value) => (value === 0 ? '0' : value.toExponential(1)),
    }),
    new StepChart({
      title: 'Gradient norm',
      measure: 'gradNorm',
      height: 130,
      format: (value) => value.toFixed(2),
    }),
    new StepChart({
      title: 'Tokens per second',
      measure: 'tokensPerS',
      height: 130,
      format: (value) => text.short(value),
    }),
  ];
  private readonly timeline = new SampleTimeline();
  private readonly playground = new Playground();
  private readonly proof = new Proof();

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
  private readonly tiles = h('dl', { class: 'tiles' });
  private readonly notices = h('div', { class: 'notices' });
  private readonly phase = h('p', { class: 'caption' });
  private readonly comparing = h('div', {
    class: 'chips',
    role: 'group',
    'aria-label': 'Compare with other runs',
  });
  private readonly checkpoints = h('div', { class: 'checkpoints' });
  private readonly live = h('p', { class: 'visually-hidden', role: 'status' });
  private readonly tabs = h('div', { class: 'tabs', role: 'tablist', 'aria-label': 'Dashboard' });
  private readonly panels: Readonly<Record<Tab, HTMLElement>>;
  private readonly looking = h('p', { class: 'empty', role: 'status' }, 'Looking for runs…');
  private readonly empty: HTMLElement;
  private readonly content: HTMLElement;

  constructor(root: HTMLElement) {
    const panel = (tab: Tab, ...children: HTMLElement[]): HTMLElement =>
      h(
        'div',
        { id: `panel-${tab}`, role: 'tabpanel', 'aria-labelledby': `tab-${tab}`, class: 'panel' },
        ...children,
      );
    this.panels = {
      learning: panel(
        'learning',
        this.comparing,
        h('div', { class: 'learning-grid' }, this.lossChart.element, this.timeline.element),
        this.phase,
        h('div', { class: 'small-charts' }, ...this.smallCharts.map((chart) => chart.element)),
        this.checkpoints,
      ),
      playground: panel('playground', this.playground.element),
      proof: panel('proof', this.proof.element),
    };
    this.tabs.append(
      ...TABS.map(([tab, label]) =>
        h(
          'button',
          {
            id: `tab-${tab}`,
            role: 'tab',
            'aria-controls': `panel-${tab}`,
            onclick: () => this.openTab(tab),
            onkeydown: (event: KeyboardEvent) => this.tabKey(event, tab),
          },
          label,
        ),
      ),
    );
    this.empty = h(
      'div',
      { class: 'empty-page' },
      h('h1', {}, 'Nothing has been trained here yet'),
      h('p', {}, 'Train a small model and watch it go from noise to something that reads like its corpus.'),
      h('button', { class: 'primary', onclick: () => send({ type: 'command', command: 'train' }) }, 'Train'),
    );
    this.content = h(
      'main',
      { class: 'page' },
      h('header', { class: 'head' }, h('div', { class: 'row' }, this.runSelect, this.badge), this.actions),
      this.bar,
      this.facts,
      this.tiles,
      this.notices,
      this.tabs,
      ...Object.values(this.panels),
      this.live,
    );
    this.content.hidden = true;
    this.empty.hidden = true;
    root.append(this.looking, this.empty, this.content);
    this.openTab(this.tab);
    new MutationObserver(() => this.recolor()).observe(document.body, {
      attributes: true,
      attributeFilter: ['class', 'data-vscode-theme-id'],
    });
    onMessage((message) => this.receive(message));
    send({ type: 'ready' });
  }

  private receive(message: ToDashboard): void {
    switch (message.type) {
      case 'runs':
        this.runs = message.runs;
        this.looking.hidden = true;
        this.update();
        break;
      case 'focus':
        this.focus(message.focus);
        break;
      case 'events': {
        if (message.after === 0) {
          this.series.delete(message.runId);
        }
        const series = this.series.get(message.runId) ?? new RunSeries();
        this.series.set(message.runId, series);
        series.append(message.events);
        const run = this.runs.find(({ runId }) => runId === message.runId);
        if (run && message.next > run.next) {
          // The list of runs comes only when it shows something else.
          run.next = message.next;
          message.events.forEach((event) => apply(run, event));
        }
        if (message.after === 0) {
          this.drawLearning();
        } else {
          this.drawSoon();
        }
        break;
      }
      case 'generatePart':
      case 'generated':
      case 'nextTokens':
        this.playground.receive(message);
        break;
      case 'comparison':
        this.proof.receive(message.comparison);
        break;
    }
  }

  private focus({ runId, tab, checkpoint, act }: Focus): void {
    if (runId !== undefined) {
      this.choose(runId);
    }
    if (tab) {
      this.openTab(tab);
    }
    if (checkpoint !== undefined) {
      this.playground.setRun(this.run(), checkpoint);
    }
    if (tab === 'playground') {
      this.playground.focus();
    } else if (tab === 'proof' && act) {
      this.proof.start();
    }
  }

  private run(): RunView | undefined {
    return this.runs.find((run) => run.runId === this.runId) ?? this.runs[0];
  }

  private choose(runId: string): void {
    this.runId = runId;
    this.compared.delete(runId);
    saveState({ runId, compared: [...this.compared] });
    this.update();
  }

  private toggleCompared(runId: string): void {
    if (!this.compared.delete(runId)) {
      this.compared.add(runId);
    }
    saveState({ compared: [...this.compared] });
    this.update();
  }

  /** The runs whose curves are laid over those of this one: of those that were chosen, the ones on the same text. */
  private beside(run: RunView): string[] {
    return [...this.compared].filter((runId) => {
      const other = this.runs.find((one) => one.runId === runId);
      return other !== undefined && !readsAnother(run, other);
    });
  }

  private openTab(tab: Tab): void {
    this.tab = tab;
    saveState({ tab });
    for (const [name] of TABS) {
      const button = this.tabs.querySelector(`#tab-${name}`);
      button?.setAttribute('aria-selected', String(name === tab));
      button?.setAttribute('tabindex', name === tab ? '0' : '-1');
      this.panels[name].hidden = name !== tab;
    }
    this.playground.setVisible(tab === 'playground');
    this.drawLearning();
  }

  private tabKey(event: KeyboardEvent, tab: Tab): void {
    const index = TABS.findIndex(([name]) => name === tab);
    const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (move !== undefined) {
      const [next] = TABS[(index + move + TABS.length) % TABS.length] ?? [tab];
      this.openTab(next);
      this.tabs.querySelector<HTMLElement>(`#tab-${next}`)?.focus();
    }
  }

  /** Everything that the list of runs tells. */
  private update(): void {
    if (!this.looking.hidden) {
      return; // No list has come yet.
    }
    const run = this.run();
    this.empty.hidden = run !== undefined;
    this.content.hidden = run === undefined;
    this.compared = new Set(
      [...this.compared].filter(
        (runId) => runId !== run?.runId && this.runs.some((other) => other.runId === runId),
      ),
    );
    this.follow(run ? [run.runId, ...this.beside(run)] : []);
    if (!run) {
      return;
    }
    this.showHead(run);
    this.showTiles(run);
    this.showNotices(run);
    this.showComparing(run);
    this.showCheckpoints(run);
    this.playground.setRun(run);
    this.proof.setRun(run);
    this.drawLearning();
    this.announce(run);
  }

  private follow(runIds: string[]): void {
    const wanted = runIds.join(' ');
    if (wanted !== this.followed) {
      this.followed = wanted;
      for (const runId of this.series.keys()) {
        if (!runIds.includes(runId)) {
          this.series.delete(runId);
        }
      }
      send({ type: 'follow', runIds });
    }
  }

  private showHead(run: RunView): void {
    const names = this.runs.map((other) => `${other.runId} ${other.name}`).join('|');
    if (this.runSelect.dataset['names'] !== names) {
      this.runSelect.dataset['names'] = names;
      fill(this.runSelect, ...this.runs.map((other) => h('option', { value: other.runId }, other.name)));
    }
    this.runSelect.value = run.runId;
    setText(this.badge, STATE_WORDS[run.state]);
    this.badge.className = `badge ${run.state} ${run.live ? 'live' : ''}`;
    const resumable = !run.live && run.state !== 'finished';
    const measurable = run.checkpoints.length > 0;
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
        measurable && act('What Was Learned', 'report'),
        act('Samples', 'showSamples'),
        act('Files', 'revealRun'),
      );
    }
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

  private showTiles(run: RunView): void {
    const series = this.series.get(run.runId);
    const evaluation = series?.evals.at(-1);
    const speed = (run.live ? undefined : series?.meanSpeed()) ?? run.tokensPerSecond;
    const perplexity = evaluation?.perplexity ?? (run.valLoss === null ? null : Math.exp(run.valLoss));
    const tiles: [string, string, string][] = [
      ['Step', text.count(run.step), run.maxSteps ? `of ${text.count(run.maxSteps)}` : ''],
      ['Held-out loss', run.valLoss === null ? '–' : run.valLoss.toFixed(3), measurement(run)],
      [
        'Perplexity',
        perplexity === null ? '–' : perplexity.toFixed(2),
        perplexity === null ? '' : 'choices a token',
      ],
      ['Training loss', run.trainLoss === null ? '–' : run.trainLoss.toFixed(3), 'on what it reads'],
      [run.live ? 'Speed' : 'Mean speed', speed === null ? '–' : text.short(speed), 'tokens a second'],
      run.live
        ? ['Time left', run.etaSeconds === null ? '–' : text.duration(run.etaSeconds), 'at this speed']
        : ['Took', series ? text.duration(series.seconds) : '–', `started ${text.ago(run.created)}`],
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

  private showNotices(run: RunView): void {
    const notices = (this.series.get(run.runId)?.notices ?? []).slice(-3).map((notice) => ({ ...notice }));
    const shown =
      notices.length === 0 && run.error
        ? [{ kind: 'error', message: run.error, advice: run.advice ?? '', code: '' }]
        : notices;
    const key = shown.map((notice) => `${notice.kind} ${notice.message}`).join('|');
    if (this.notices.dataset['key'] !== key) {
      this.notices.dataset['key'] = key;
      fill(
        this.notices,
        ...shown.map((notice) =>
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

  private showComparing(run: RunView): void {
    const all = this.runs.filter((other) => other.runId !== run.runId);
    const others = all.filter((other) => !readsAnother(run, other));
    const left = all.length - others.length;
    const key = [left, ...others.map((other) => other.runId)].join('|');
    if (this.comparing.dataset['key'] !== key) {
      this.comparing.dataset['key'] = key;
      this.comparing.hidden = all.length === 0;
      fill(
        this.comparing,
        h('span', { class: 'caption' }, others.length > 0 ? 'Compare with' : 'Nothing to compare with yet.'),
        ...others.map(({ runId }) =>
          h(
            'button',
            { class: 'chip', onclick: () => this.toggleCompared(runId) },
            h('span', { class: 'swatch' }),
            h('span'),
          ),
        ),
        left > 0 &&
          h(
            'span',
            { class: 'caption left-out' },
            left === 1
              ? 'One run is left out: its losses are on another text.'
              : `${left} runs are left out: their losses are on other text.`,
          ),
      );
    }
    // In place: a chip that is replaced takes the keyboard's focus with it.
    others.forEach((other, index) => {
      const chip = this.comparing.children[index + 1];
      const [swatch, label] = chip?.children ?? [];
      if (chip && swatch && label) {
        const on = this.compared.has(other.runId);
        chip.setAttribute('aria-pressed', String(on));
        (swatch as HTMLElement).style.background = on
          ? `var(--vscode-${this.color(other.runId)}, #888)`
          : 'transparent';
        setText(label, chipLabel(run, other));
      }
    });
  }

  private showCheckpoints(run: RunView): void {
    const key = `${run.runId} ${run.checkpoints.map(({ path, best }) => `${path} ${best}`).join('|')}`;
    if (this.checkpoints.dataset['key'] === key) {
      return;
    }
    this.checkpoints.dataset['key'] = key;
    fill(
      this.checkpoints,
      h('h2', {}, 'Checkpoints'),
      run.checkpoints.length === 0
        ? h(
            'p',
            { class: 'caption' },
            'None yet. Each one will open in transformers as it is, and in llama.cpp after a conversion.',
          )
        : h(
            'ul',
            {},
            ...[...run.checkpoints].reverse().map((checkpoint) =>
              h(
                'li',
                {},
                h(
                  'button',
                  {
                    class: 'checkpoint',
                    onclick: () => this.focus({ tab: 'playground', checkpoint: checkpoint.path }),
                  },
                  h('b', {}, `step ${text.count(checkpoint.step)}`),
                  h('span', {}, checkpoint.valLoss === null ? '' : `val ${checkpoint.valLoss.toFixed(3)}`),
                  checkpoint.best && h('span', { class: 'tag' }, 'best'),
                ),
              ),
            ),
          ),
    );
  }

  private color(runId: string): string {
    const run = this.run();
    const order = run ? [run.runId, ...this.beside(run)] : [];
    return CURVE_COLORS[Math.max(0, order.indexOf(runId)) % CURVE_COLORS.length] ?? 'charts-blue';
  }

  private drawSoon(): void {
    const wait = Math.max(DRAW_PATIENCE_MS, this.drawn + DRAW_INTERVAL_MS - performance.now());
    this.drawTimer ||= window.setTimeout(() => this.update(), wait);
  }

  private drawLearning(): void {
    window.clearTimeout(this.drawTimer);
    this.drawTimer = 0;
    this.drawn = performance.now();
    const run = this.run();
    if (!run || this.tab !== 'learning') {
      return;
    }
    const shown = [
      run,
      ...this.beside(run).flatMap((runId) => this.runs.find((one) => one.runId === runId) ?? []),
    ];
    const aCharacter = shown.some((other) => readsOtherTokens(run, other));
    const scale = (one: RunView): number => (aCharacter ? 1 / charactersPerToken(one) : 1);
    const curve = (one: RunView): Curve => ({
      name: one.name,
      color: this.color(one.runId),
      series: this.series.get(one.runId) ?? new RunSeries(),
    });
    const names = hasLongTokens(run) ? TOKEN_BASELINE_NAMES : BASELINE_NAMES;
    const baselines: Baseline[] = Object.entries(run.baselines).flatMap(([name, value]) =>
      names[name] === undefined ? [] : { name: names[name], value: scale(run) * value },
    );
    const planned = run.live ? (run.maxSteps ?? undefined) : undefined;
    this.lossChart.setCurves(
      shown.map((one) => ({ ...curve(one), scale: scale(one) })),
      baselines,
      run.phases,
      planned,
      aCharacter ? 'Loss, in nats a character, since the runs read different tokens' : undefined,
    );
    this.smallCharts.forEach((chart) => chart.setCurves(shown.map(curve), [], run.phases, planned));
    this.timeline.setSeries(this.series.get(run.runId));
    const phase = run.live ? run.phases.find(({ from, to }) => run.step >= from && run.step < to) : undefined;
    setText(this.phase, phase ? `${phase.name}: ${phase.meaning}.` : '');
    this.showTiles(run);
    this.showNotices(run);
  }

  private recolor(): void {
    [this.lossChart, ...this.smallCharts].forEach((chart) => chart.recolor());
    this.update();
  }

  /** An evaluation is news for somebody who cannot see the chart; a step is not. */
  private announce(run: RunView): void {
    const news = isMeasured(run)
      ? `${STATE_WORDS[run.state]}, held-out loss ${run.valLoss.toFixed(2)}`
      : STATE_WORDS[run.state];
    if (news !== this.announced) {
      this.announced = news;
      setText(this.live, `${run.name}: ${news}`);
    }
  }
}

/** When the held-out loss was measured, and the best so far where that was another time. */
function measurement(run: RunView): string {
  if (run.valLoss === null) {
    return 'soon';
  }
  const when = run.valStep === null ? '' : `at step ${text.count(run.valStep)}`;
  const best = run.bestValLoss ?? run.valLoss;
  const aCharacter = hasLongTokens(run)
    ? `${(run.valLoss / charactersPerToken(run)).toFixed(3)} a character`
    : '';
  return [aCharacter, when, best < run.valLoss ? `best ${best.toFixed(3)}` : ''].filter(Boolean).join(' · ');
}

/** A run to compare with, and the lowest loss of it: in the unit that can be compared with the run in front. */
function chipLabel(run: RunView, other: RunView): string {
  if (!isMeasured(other)) {
    return other.name;
  }
  return readsOtherTokens(run, other)
    ? `${other.name} · ${(other.bestValLoss / charactersPerToken(other)).toFixed(2)} a character`
    : `${other.name} · ${other.bestValLoss.toFixed(2)}`;
}

const root = document.getElementById('app');
if (root) {
  new Page(root);
}
