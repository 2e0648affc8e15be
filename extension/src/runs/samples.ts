import * as vscode from 'vscode';
import * as text from '../ui/text';
import type { EvalEvent, RunEvent, SampleEvent } from '../protocol';
import type { RunStore } from './store';

const RULE_WIDTH = 78;

/**
 * The channel "Trickster Samples": one readable block an evaluation. Live runs are followed from their beginning, so
 * that the channel is the same after a reload as before it; so are those that began after the window and were over
 * before anybody saw them live.
 */
export class Samples implements vscode.Disposable {
  private readonly channel = vscode.window.createOutputChannel('Trickster Samples');
  private readonly followed = new Map<string, vscode.Disposable>();
  private readonly subscription: vscode.Disposable;
  private readonly opened = Date.now() / 1000;

  constructor(private readonly runs: RunStore) {
    this.subscription = runs.onDidChange(() =>
      runs
        .all()
        .filter((run) => run.live || run.created >= this.opened)
        .forEach((run) => this.follow(run.runId)),
    );
  }

  dispose(): void {
    this.subscription.dispose();
    this.followed.forEach((following) => void following.dispose());
    this.channel.dispose();
  }

  /** Bring the channel up, with the samples of this run in it. */
  show(runId?: string, preserveFocus = true): void {
    const wanted = runId ?? this.runs.all()[0]?.runId;
    if (wanted !== undefined) {
      this.follow(wanted);
    }
    this.channel.show(preserveFocus);
  }

  private follow(runId: string): void {
    if (this.followed.has(runId)) {
      return;
    }
    const writer = new BlockWriter(
      () => this.runs.nameOf(runId),
      (block) => this.channel.append(block),
    );
    this.followed.set(
      runId,
      this.runs.follow(runId, (events) => events.forEach((event) => writer.take(event))),
    );
  }
}

/** Joins the evaluation and the sample of one step into one block. */
export class BlockWriter {
  private evaluation: EvalEvent | undefined;

  constructor(
    private readonly name: () => string,
    private readonly write: (block: string) => void,
  ) {}

  take(event: RunEvent): void {
    if (event.kind === 'eval') {
      this.flush();
      this.evaluation = event;
    } else if (event.kind === 'sample') {
      const evaluation = this.evaluation?.step === event.step ? this.evaluation : undefined;
      if (!evaluation) {
        this.flush();
      }
      this.evaluation = undefined;
      this.write(block(this.name(), event.step, evaluation, event));
    } else if (event.kind === 'step' || event.kind === 'status') {
      this.flush();
    }
  }

  /** An evaluation that no sample followed. */
  private flush(): void {
    if (this.evaluation) {
      this.write(block(this.name(), this.evaluation.step, this.evaluation, undefined));
      this.evaluation = undefined;
    }
  }
}

function block(name: string, step: number, evaluation?: EvalEvent, sample?: SampleEvent): string {
  const head = `--- ${name} · step ${text.count(step)} `;
  const lines = [head.padEnd(RULE_WIDTH, '-')];
  if (evaluation) {
    lines.push(
      `validation loss ${evaluation.val_loss.toFixed(3)} · training loss ${evaluation.train_loss.toFixed(3)} · ` +
        `perplexity ${evaluation.perplexity.toFixed(2)}`,
    );
  }
  if (sample) {
    lines.push('', text.printable(`${sample.prompt}${sample.text}`).trimEnd());
  }
  return `${lines.join('\n')}\n\n`;
}
