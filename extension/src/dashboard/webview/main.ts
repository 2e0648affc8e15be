import 'uplot/dist/uPlot.min.css';
import './styles.css';
import './inside/inside.css';
import { isMeasured } from '../../runs/measures';
import type { RunInfo } from '../../protocol';
import type { Focus, Tab, ToDashboard } from '../contract';
import { h, setText } from './dom';
import { RunHeader, STATE_WORDS } from './header';
import { answered } from './inside/asking';
import { Inside } from './inside/inside';
import { onMessage, savedState, saveState, send } from './host';
import { Learning } from './learning';
import { Overlays } from './overlays';
import { Playground } from './playground';
import { Proof } from './proof';
import { RunSeries } from './series';

const TABS: readonly [Tab, string][] = [
  ['learning', 'Learning'],
  ['playground', 'Playground'],
  ['proof', 'Proof'],
  ['inside', 'Inside'],
];

/** Charts are drawn anew at most this often while events come: drawing takes the processor from the training. */
const DRAW_INTERVAL_MS = 1000;
/** The list of runs follows the events that changed it; both are drawn as one. */
const DRAW_PATIENCE_MS = 100;

/** The page: one run in front, others beside it in the charts. */
class Page {
  private runs: RunInfo[] = [];
  private readonly series = new Map<string, RunSeries>();
  private runId = savedState().runId;
  private tab: Tab = savedState().tab ?? 'learning';
  private followed = '';
  private announced = '';
  private drawTimer = 0;
  private drawn = -Infinity;

  private readonly header = new RunHeader((runId) => this.choose(runId));
  private readonly overlays = new Overlays(() => this.update());
  private readonly learning = new Learning((path) => this.focus({ tab: 'playground', checkpoint: path }));
  private readonly playground = new Playground();
  private readonly proof = new Proof();
  private readonly inside = new Inside();

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
      learning: panel('learning', this.overlays.element, ...this.learning.elements),
      playground: panel('playground', this.playground.element),
      proof: panel('proof', this.proof.element),
      inside: panel('inside', this.inside.element),
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
      h('h1', {}, 'No runs yet'),
      h('p', {}, 'Train a small model and watch it learn to write like its corpus.'),
      h('button', { class: 'primary', onclick: () => send({ type: 'command', command: 'train' }) }, 'Train'),
    );
    this.content = h(
      'main',
      { class: 'page' },
      ...this.header.elements,
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
        if (run && message.run && message.run.next > run.next) {
          Object.assign(run, message.run); // The list of runs comes only when it shows something else.
        }
        if (message.after === 0) {
          this.update();
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
      case 'inside':
        answered(message);
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

  private run(): RunInfo | undefined {
    return this.runs.find((run) => run.runId === this.runId) ?? this.runs[0];
  }

  private choose(runId: string): void {
    this.runId = runId;
    this.overlays.remove(runId);
    saveState({ runId });
    this.update();
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
    this.inside.setVisible(tab === 'inside');
    this.showLearning();
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
    window.clearTimeout(this.drawTimer);
    this.drawTimer = 0;
    this.drawn = performance.now();
    if (!this.looking.hidden) {
      return; // No list has come yet.
    }
    const run = this.run();
    this.empty.hidden = run !== undefined;
    this.content.hidden = run === undefined;
    const over = run ? this.overlays.over(run, this.runs) : [];
    this.follow(run ? [run, ...over].map(({ runId }) => runId) : []);
    if (!run) {
      return;
    }
    this.header.show(run, this.runs, this.series.get(run.runId));
    this.overlays.show(run, this.runs, over);
    this.playground.setRun(run);
    this.proof.setRun(run);
    this.inside.setRun(run, this.runs);
    this.showLearning();
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

  private drawSoon(): void {
    const wait = Math.max(DRAW_PATIENCE_MS, this.drawn + DRAW_INTERVAL_MS - performance.now());
    this.drawTimer ||= window.setTimeout(() => this.update(), wait);
  }

  private showLearning(): void {
    const run = this.run();
    if (run && this.tab === 'learning') {
      this.learning.show(run, this.overlays.over(run, this.runs), this.series);
    }
  }

  private recolor(): void {
    this.learning.recolor();
    this.inside.recolor();
    this.update();
  }

  /** An evaluation is news for somebody who cannot see the chart; a step is not. */
  private announce(run: RunInfo): void {
    const news = isMeasured(run)
      ? `${STATE_WORDS[run.state]}, validation loss ${run.valLoss.toFixed(2)}`
      : STATE_WORDS[run.state];
    if (news !== this.announced) {
      this.announced = news;
      setText(this.live, `${run.name}: ${news}`);
    }
  }
}

const root = document.getElementById('app');
if (root) {
  new Page(root);
}
