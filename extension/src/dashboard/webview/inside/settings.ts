import * as text from '../../../ui/text';
import type { CheckpointInfo, RunInfo } from '../../../protocol';
import { fill, h, setText } from '../dom';
import { savedState, saveState } from '../host';
import type { ModelRef } from './view';

const PLAY_PAUSE_MS = 600;
/** How long after the last key the text is looked at. */
const TYPING_MS = 500;

/** Which models are looked into, and at which text. */
export class InsideSettings {
  readonly element: HTMLElement;
  private readonly slider: HTMLInputElement;
  private readonly name = h('output', { for: 'inside-checkpoint' });
  private readonly play = h('button', { class: 'secondary', onclick: () => this.togglePlay() }, 'Play');
  private readonly newest = h('button', { class: 'secondary', onclick: () => this.chooseNewest() }, 'Newest');
  private readonly compare: HTMLSelectElement;
  private readonly box: HTMLTextAreaElement;
  private run: RunInfo | undefined;
  private runs: readonly RunInfo[] = [];
  /** The folder of the chosen checkpoint; null: before training. */
  private chosen: string | null = null;
  private playing = false;
  private timer = 0;
  private typing = 0;
  /** Whether somebody has written the text, which is the run's own validation text until then. */
  private own: boolean;

  constructor(
    status: HTMLElement,
    /** Look, at what is chosen now. */
    private readonly changed: () => void,
  ) {
    const saved = savedState().inside?.text;
    this.own = saved !== undefined;
    this.slider = h('input', {
      id: 'inside-checkpoint',
      type: 'range',
      min: 0,
      max: 0,
      oninput: () => {
        this.stopPlaying();
        this.moveTo(Number(this.slider.value));
      },
    });
    this.compare = h('select', {
      id: 'inside-compare',
      onchange: () => this.changed(),
    });
    this.box = h('textarea', {
      id: 'inside-text',
      rows: 3,
      spellcheck: 'false',
      oninput: () => this.typed(),
      onkeydown: (event: KeyboardEvent) => {
        if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
          event.preventDefault();
          this.lookNow();
        }
      },
    });
    this.box.value = saved ?? '';
    this.element = h(
      'section',
      { class: 'card controls inside-settings', 'aria-label': 'What is looked into' },
      h(
        'div',
        { class: 'inside-choice' },
        h(
          'div',
          { class: 'field' },
          h(
            'div',
            { class: 'row spread' },
            h('label', { for: 'inside-checkpoint' }, 'Checkpoint'),
            this.name,
          ),
          h('div', { class: 'row' }, this.play, this.slider, this.newest),
        ),
        h('div', { class: 'field' }, h('label', { for: 'inside-compare' }, 'Beside it'), this.compare),
      ),
      h('div', { class: 'field' }, h('label', { for: 'inside-text' }, 'Text'), this.box),
      h(
        'div',
        { class: 'row' },
        h('button', { class: 'primary look', onclick: () => this.lookNow() }, 'Look Inside'),
        h('span', { class: 'hint' }, 'Ctrl+Enter'),
        h('button', { class: 'secondary', onclick: () => this.useValidation() }, 'Validation Text'),
        status,
      ),
    );
  }

  /** The run whose checkpoints can be chosen. Returns whether it is another than before. */
  setRun(run: RunInfo, runs: readonly RunInfo[]): boolean {
    const another = run.runId !== this.run?.runId || run.created !== this.run.created;
    const isFirst = this.run?.checkpoints.length === 0 && run.checkpoints.length > 0;
    this.run = run;
    this.runs = runs;
    if (another || isFirst) {
      this.chosen = run.checkpoints.at(-1)?.path ?? null;
    }
    if (another) {
      this.stopPlaying();
      this.fillCompare('');
      if (!this.own) {
        this.box.value = '';
      }
    } else {
      this.fillCompare(this.compare.value);
    }
    this.show();
    return another;
  }

  /** The text that is looked at; null: the run's validation text. */
  get text(): string | null {
    return this.own && this.box.value !== '' ? this.box.value : null;
  }

  /** The server has said which text it has read. */
  setText(words: string): void {
    if (!this.own) {
      this.box.value = words;
    }
  }

  get model(): ModelRef {
    return { runId: this.run?.runId ?? '', checkpoint: this.chosen, beforeTraining: this.chosen === null };
  }

  get compared(): ModelRef | undefined {
    return this.compare.value === '' ? undefined : (JSON.parse(this.compare.value) as ModelRef);
  }

  /** How a model is called. */
  nameOf({ runId, checkpoint, beforeTraining }: ModelRef): string {
    const run = this.runs.find((one) => one.runId === runId);
    const own = runId === this.run?.runId;
    const which = beforeTraining
      ? 'before training'
      : checkpointName(
          checkpoint === null
            ? run?.checkpoints.at(-1)
            : run?.checkpoints.find(({ path }) => path === checkpoint),
        );
    return own ? capitalized(which) : `${run?.name ?? runId}, ${which}`;
  }

  /** What was chosen is in sight: while playing, the next one follows. */
  shown(): void {
    if (this.playing) {
      this.timer = window.setTimeout(() => {
        const next = this.index() + 1;
        if (next >= this.places().length) {
          this.stopPlaying();
        } else {
          this.moveTo(next);
        }
      }, PLAY_PAUSE_MS);
    }
  }

  stopPlaying(): void {
    window.clearTimeout(this.timer);
    this.playing = false;
    setText(this.play, 'Play');
  }

  /** What the slider can be at: before training, then each checkpoint. */
  private places(): (string | null)[] {
    return [null, ...(this.run?.checkpoints ?? []).map(({ path }) => path)];
  }

  private index(): number {
    return Math.max(0, this.places().indexOf(this.chosen));
  }

  private moveTo(index: number): void {
    this.chosen = this.places()[index] ?? null;
    this.show();
    this.changed();
  }

  private chooseNewest(): void {
    this.stopPlaying();
    this.moveTo(this.places().length - 1);
  }

  private togglePlay(): void {
    if (this.playing) {
      this.stopPlaying();
    } else {
      this.playing = true;
      setText(this.play, 'Pause');
      this.moveTo(0);
    }
  }

  private show(): void {
    const places = this.places();
    this.slider.max = String(places.length - 1);
    this.slider.value = String(this.index());
    const name = this.nameOf(this.model);
    setText(this.name, name);
    this.slider.setAttribute('aria-valuetext', name);
    this.newest.disabled = this.index() === places.length - 1;
  }

  private fillCompare(wanted: string): void {
    const { run } = this;
    const own = this.places().map((path): ModelRef => ({
      runId: run?.runId ?? '',
      checkpoint: path,
      beforeTraining: path === null,
    }));
    const others = this.runs
      .filter(({ runId, checkpoints }) => runId !== run?.runId && checkpoints.length > 0)
      .map(({ runId }): ModelRef => ({ runId, checkpoint: null, beforeTraining: false }));
    const options = [...own, ...others].map((model): [string, string] => [
      JSON.stringify(model),
      this.nameOf(model),
    ]);
    const key = JSON.stringify(options);
    if (this.compare.dataset['key'] !== key) {
      this.compare.dataset['key'] = key;
      fill(
        this.compare,
        h('option', { value: '' }, 'nothing'),
        ...options.map(([value, label]) => h('option', { value }, label)),
      );
    }
    this.compare.value = options.some(([value]) => value === wanted) ? wanted : '';
  }

  private typed(): void {
    this.own = this.box.value !== '';
    this.save();
    window.clearTimeout(this.typing);
    this.typing = window.setTimeout(() => this.changed(), TYPING_MS);
  }

  private lookNow(): void {
    window.clearTimeout(this.typing);
    this.changed();
  }

  private useValidation(): void {
    this.own = false;
    this.box.value = '';
    this.save();
    this.lookNow();
  }

  private save(): void {
    saveState({ inside: this.own ? { text: this.box.value } : {} });
  }
}

function checkpointName(checkpoint: CheckpointInfo | undefined): string {
  if (!checkpoint) {
    return 'a checkpoint that is no longer kept';
  }
  const { step, valLoss, best } = checkpoint;
  return [`step ${text.count(step)}`, valLoss === null ? '' : `val ${text.loss(valLoss)}`, best ? 'best' : '']
    .filter(Boolean)
    .join(' · ');
}

function capitalized(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1);
}
