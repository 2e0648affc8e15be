import * as text from '../../../ui/text';
import type { RunInfo } from '../../../protocol';
import { h, setText } from '../dom';
import { ask, reason } from './asking';
import { History } from './history';
import { Latest } from './latest';
import { unpack, type Seen } from './numbers';
import { Rope } from './rope';
import { InsideSettings } from './settings';
import { Switches } from './switches';
import { Temperature } from './temperature';
import { ModelView, type Choice, type ModelRef } from './view';
import { WhatIf } from './whatIf';

/** How many answers are kept, so that the slider goes back without asking again. */
const KEPT = 24;

/**
 * The tab that looks inside a model. Nothing is asked before it is open, and of a run that trains only what somebody
 * chooses: a new checkpoint lengthens the slider and no more.
 */
export class Inside {
  readonly element: HTMLElement;
  private readonly status = h('p', { class: 'caption status', role: 'status' });
  private readonly settings: InsideSettings;
  private readonly switches = new Switches(() => this.switched());
  private readonly columns = h('div', { class: 'inside-columns' });
  private readonly first: ModelView;
  private second: ModelView | undefined;
  private readonly whatIf: WhatIf;
  private readonly temperature = new Temperature();
  private readonly rope = new Rope();
  private readonly history = new History();
  private readonly empty: HTMLElement;
  private readonly body: HTMLElement;
  private readonly pictures: HTMLElement;
  private readonly latest = new Latest();
  private readonly kept = new Map<string, Seen>();
  private run: RunInfo | undefined;
  private visible = false;
  /** Something was chosen that has not been looked at yet, because the tab is not open. */
  private outdated = true;
  private seen: Seen | undefined;
  private choice: Choice | undefined;

  constructor() {
    this.settings = new InsideSettings(this.status, () => this.look());
    const choose = (change: Partial<Choice>): void => this.choose(change);
    this.first = new ModelView(choose, this.switches);
    this.whatIf = new WhatIf(this.switches, choose, (words) => this.first.setEffect(words));
    this.columns.append(this.first.element);
    this.pictures = h(
      'div',
      { class: 'panel' },
      this.columns,
      this.whatIf.element,
      h('div', { class: 'pair' }, this.temperature.element, this.rope.element),
      this.history.element,
    );
    this.pictures.hidden = true;
    this.empty = h(
      'p',
      { class: 'empty' },
      'Looking inside needs a checkpoint. A run saves the first one while it trains.',
    );
    this.body = h('div', { class: 'panel' }, this.settings.element, this.pictures);
    this.element = h('div', { class: 'inside' }, this.empty, this.body);
  }

  /** The run whose models can be chosen. */
  setRun(run: RunInfo, runs: readonly RunInfo[]): void {
    const before = this.run?.checkpoints.length ?? 0;
    this.run = run;
    this.empty.hidden = run.checkpoints.length > 0;
    this.body.hidden = run.checkpoints.length === 0;
    const another = this.settings.setRun(run, runs);
    if (another) {
      this.kept.clear();
      this.seen = undefined;
      this.choice = undefined;
      this.pictures.hidden = true;
      this.switches.clear();
    }
    if (another || (before === 0 && run.checkpoints.length > 0)) {
      this.look();
    }
  }

  setVisible(visible: boolean): void {
    this.visible = visible;
    if (!visible) {
      this.settings.stopPlaying();
    } else if (this.outdated) {
      this.look();
    }
  }

  recolor(): void {
    [this.first, this.second, this.temperature, this.rope, this.history].forEach((picture) =>
      picture?.recolor(),
    );
  }

  private look(): void {
    this.outdated = true;
    if (!this.visible || !this.run || this.run.checkpoints.length === 0) {
      return;
    }
    this.outdated = false;
    const { run } = this;
    this.latest.run(async () => {
      const { model, compared } = this.settings;
      try {
        const seen = await this.ask(run, model, this.settings.text);
        const beside = compared && (await this.ask(run, compared, seen.result.text));
        if (run.runId === this.run?.runId && run.created === this.run.created) {
          this.show(model, seen, compared && beside ? [compared, beside] : undefined);
        }
      } catch (error) {
        this.settings.stopPlaying();
        this.say(reason(error), true);
      }
    });
  }

  private async ask(run: RunInfo, model: ModelRef, words: string | null): Promise<Seen> {
    const key = JSON.stringify([run.created, model, words]);
    const known = this.kept.get(key);
    if (known && (model.checkpoint !== null || model.beforeTraining)) {
      return known;
    }
    this.say(this.seen ? 'Looking…' : 'Loading the model…');
    const seen = unpack(await ask('trickster/inside', { ...model, text: words }));
    this.kept.set(key, seen);
    const [oldest] = this.kept.keys();
    if (this.kept.size > KEPT && oldest !== undefined) {
      this.kept.delete(oldest);
    }
    return seen;
  }

  private show(model: ModelRef, seen: Seen, beside: [ModelRef, Seen] | undefined): void {
    const { tokens, text: words, seconds } = seen.result;
    this.seen = seen;
    this.settings.setText(words);
    this.say(`${text.count(tokens.length)} tokens · ${seconds.toFixed(2)} s`);
    this.pictures.hidden = false;
    this.choice ??= { token: Math.max(0, tokens.length - 2), layer: 0, head: 0 };
    const choice = { ...this.choice, token: Math.min(this.choice.token, tokens.length - 1) };
    this.choice = choice;
    this.columns.classList.toggle('two', beside !== undefined);
    this.first.show(this.settings.nameOf(model), model, seen, choice);
    if (beside) {
      this.second ??= new ModelView((change) => this.choose(change), this.switches);
      this.second.element.classList.add('second');
      this.columns.append(this.second.element);
      this.second.show(this.settings.nameOf(beside[0]), ...beside, choice);
    } else {
      this.second?.element.remove();
    }
    this.whatIf.setQuestion(model, seen.result.model.layers, words, choice);
    this.temperature.show(seen);
    this.showChoice(choice);
    this.settings.shown();
  }

  private choose(change: Partial<Choice>): void {
    const { choice } = this;
    if (!choice) {
      return;
    }
    this.choice = { ...choice, ...change };
    this.first.choose(this.choice);
    this.second?.choose(this.choice);
    this.showChoice(this.choice);
  }

  private showChoice(choice: Choice): void {
    if (!this.seen || !this.run) {
      return;
    }
    this.whatIf.mark(choice);
    this.rope.show(this.seen, choice.token);
    this.history.setQuestion(this.run.runId, this.settings.text, choice);
  }

  private switched(): void {
    this.whatIf.update();
    if (this.choice) {
      this.first.choose(this.choice);
    }
  }

  private say(words: string, isError = false): void {
    setText(this.status, words);
    this.status.classList.toggle('error', isError);
  }
}
