import * as path from 'node:path';
import * as vscode from 'vscode';
import type { Configs } from '../ui/configs';
import { describeInterpreter } from '../python/interpreters';
import type { Server } from '../server/server';
import * as text from '../ui/text';
import type { DescribeConfigResult, RunInfo } from '../protocol';
import { bitsPerByte, isMeasured, readsOtherTokens, readsTheSame, type MeasuredRun } from '../runs/measures';
import type { RunStore } from '../runs/store';
import type { LessonProgress } from './progress';

/** A config counts as bigger than the trained model from this factor on. */
const BIGGER = 1.5;

/**
 * Turns what the server and the runs say into ticks of the lesson. Commands that produce evidence themselves (inspect,
 * compare, samples, prepare) report it where it arises.
 */
export class Evidence implements vscode.Disposable {
  private readonly subscriptions: vscode.Disposable[];

  constructor(
    private readonly progress: LessonProgress,
    private readonly server: Server,
    private readonly runs: RunStore,
    private readonly configs: Configs,
  ) {
    this.subscriptions = [
      server.onDidChangeState(() => this.fromSetup()),
      runs.onDidChange(() => this.fromRuns()),
      runs.onProgress(() => this.fromRuns()),
      configs.onDidChange(() => void this.fromConfigs()),
      configs.onDidSettle((uri) => void this.fromConfig(uri)),
    ];
  }

  dispose(): void {
    this.subscriptions.forEach((subscription) => void subscription.dispose());
  }

  private fromSetup(): void {
    const state = this.server.state;
    if (state.kind === 'running') {
      if (state.training) {
        this.progress.done('setup', describeInterpreter(state.training));
      } else {
        this.progress.note('setup', describeInterpreter(state.interpreter));
      }
    } else if (state.kind === 'noPython') {
      this.progress.note('setup', vscode.l10n.t('no Python 3.10 or newer found'));
    }
  }

  private async fromConfigs(): Promise<void> {
    if (this.server.state.kind === 'asleep') {
      return; // Searching the folder starts a process, and nothing of ours is in use.
    }
    const names = (await this.configs.all()).map((uri) => path.basename(uri.fsPath));
    // The list is led by the one in use. What was the first thing made here stays so for as long as it is there.
    const before = this.progress.fact('decide') ?? '';
    const name = names.find((one) => before === one || before.startsWith(`${one} `)) ?? names[0];
    if (name !== undefined) {
      this.progress.done(
        'decide',
        names.length > 1 ? vscode.l10n.t('{0} and {1} more', name, names.length - 1) : name,
      );
    }
  }

  /** A config that is open has been still for a moment: ask the server what it comes to. */
  private async fromConfig(uri: vscode.Uri): Promise<void> {
    let figures: DescribeConfigResult;
    try {
      figures = await this.server.request('trickster/describeConfig', { configUri: uri.toString() });
    } catch {
      return; // The server is away, or the file is gone.
    }
    const name = path.basename(uri.fsPath);
    if (!figures.valid) {
      this.progress.note(
        'config',
        figures.errors === 1
          ? vscode.l10n.t('{0}: 1 error', name)
          : vscode.l10n.t('{0}: {1} errors', name, figures.errors),
      );
      return;
    }
    this.progress.done('config', vscode.l10n.t('{0} · no errors', name));
    if (
      figures.prepared &&
      !this.progress.isDone('data') &&
      figures.trainTokens !== null &&
      figures.valTokens !== null
    ) {
      this.progress.done('data', dataFact(figures.trainTokens, figures.valTokens, vscode.l10n.t('tokens')));
    }
    if (figures.parameters !== null) {
      const trained = this.runs
        .all()
        .filter((run) => isMeasured(run) && run.parameters !== null)
        .map((run) => run.parameters ?? 0);
      if (trained.length > 0 && figures.parameters > BIGGER * Math.min(...trained)) {
        this.progress.done(
          'scale',
          vscode.l10n.t(
            '{0}: {1} vs. {2} parameters',
            name,
            text.short(figures.parameters),
            text.short(Math.min(...trained)),
          ),
        );
      }
    }
  }

  private fromRuns(): void {
    const runs = this.runs.all();
    const stepped = runs.filter((run) => run.step > 0);
    const newest = stepped.find((run) => run.live) ?? stepped[0];
    if (newest) {
      this.progress.done('train', trainFact(runs));
    }
    const { train_characters: train, val_characters: held } = (newest?.data ?? {}) as {
      train_characters?: number;
      val_characters?: number;
    };
    if (train !== undefined && held !== undefined) {
      this.progress.done('data', dataFact(train, held));
    }
    const measured = runs.filter(isMeasured);
    const learning = measured.find((run) => run.bestValLoss < threshold(run));
    if (learning) {
      this.progress.done('watch', watchFact(learning));
    } else if (measured[0] && !this.progress.isDone('watch')) {
      this.progress.note(
        'watch',
        vscode.l10n.t('val {0}, not yet below bigram', text.loss(measured[0].bestValLoss)),
      );
    }
    this.fromExperiments(measured);
    const own = stepped.find((run) => run.ownText);
    if (own) {
      this.progress.done(
        'ownText',
        vscode.l10n.t('{0} on {1}', own.name, path.basename(corpusOf(own) ?? '')),
      );
    }
  }

  /** Two runs on the same text can be compared; the newest that has one before it counts. */
  private fromExperiments(measured: readonly MeasuredRun[]): void {
    const fact = comparisonOf(measured);
    const [newest] = measured;
    if (fact !== undefined) {
      this.progress.done('experiment', fact);
    } else if (newest && measured.length > 1 && !this.progress.isDone('experiment')) {
      this.progress.note('experiment', vscode.l10n.t('{0} is the first run on its text', newest.name));
    }
  }
}

/** "learning-rate-001 1.52 vs. pico-001 1.49": the newest of these runs that follows one on the same text. */
export function comparisonOf(newestFirst: readonly MeasuredRun[]): string | undefined {
  for (const [index, run] of newestFirst.entries()) {
    const before = newestFirst.slice(index + 1).find((other) => readsTheSame(other, run));
    if (before) {
      const inBits =
        readsOtherTokens(run, before) && [run, before].every(({ bytesPerToken }) => bytesPerToken !== null);
      const loss = (one: MeasuredRun): string =>
        text.loss((inBits ? bitsPerByte(one, one.bestValLoss) : undefined) ?? one.bestValLoss);
      const words = run.live
        ? vscode.l10n.t('{0} {1} so far vs. {2} {3}', run.name, loss(run), before.name, loss(before))
        : vscode.l10n.t('{0} {1} vs. {2} {3}', run.name, loss(run), before.name, loss(before));
      return inBits ? vscode.l10n.t('{0} bits/byte', words) : words;
    }
  }
  return undefined;
}

/** "1,115,394 characters, 90/10". */
export function dataFact(train: number, held: number, unit = vscode.l10n.t('characters')): string {
  const percent = Math.round((100 * train) / (train + held));
  return `${text.count(train + held)} ${unit}, ${percent}/${100 - percent}`;
}

/** How the run that trains is doing; else what came of the last one that has finished, or stopped on its way. */
export function trainFact(newestFirst: readonly RunInfo[]): string {
  const stepped = newestFirst.filter((run) => run.step > 0);
  const run =
    stepped.find(({ live }) => live) ?? stepped.find(({ state }) => state === 'finished') ?? stepped[0];
  if (!run) {
    return '';
  }
  const count = text.count(run.step);
  const steps = run.live
    ? vscode.l10n.t('{0}: step {1}', run.name, count)
    : vscode.l10n.t('{0}: {1} steps', run.name, count);
  if (isMeasured(run)) {
    return vscode.l10n.t('{0} · val {1}', steps, text.loss(run.live ? run.valLoss : run.bestValLoss));
  }
  return run.trainLoss === null ? steps : vscode.l10n.t('{0} · loss {1}', steps, text.loss(run.trainLoss));
}

function watchFact(run: MeasuredRun): string {
  const bigram = run.baselines['bigram'];
  const best = text.loss(run.bestValLoss);
  return bigram === undefined
    ? vscode.l10n.t('val {0}', best)
    : vscode.l10n.t('val {0} · bigram {1}', best, text.loss(bigram));
}

/** The bigram baseline; where that is not known, clearly below the uniform one. */
function threshold(run: RunInfo): number {
  const { bigram, uniform } = run.baselines as { bigram?: number; uniform?: number };
  return bigram ?? (uniform ?? 0) * 0.5;
}

function corpusOf(run: RunInfo): string | undefined {
  const name = run.data['name'];
  return typeof name === 'string' ? name : undefined;
}
