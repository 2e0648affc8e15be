import * as vscode from 'vscode';
import { errorText } from '../ui/log';
import type { Server } from '../server/server';
import * as text from '../ui/text';
import type { RunInfo } from '../protocol';
import { isMeasured } from './measures';
import { describe } from './statusBar';
import type { RunStore } from './store';
import { explanation } from '../lesson/troubleshooting';

/** What was known of a run before it was started or resumed; a new one has no past. */
export type Before = Pick<RunInfo, 'next' | 'valStep'> | undefined;

/**
 * Tell of a run that was just started or resumed from this window: progress and a way to stop it until its model is
 * evaluated for the first time, which shows that it goes well; from then on the status bar, the sidebar
 * and the dashboard tell of it, and they lie over nothing. How it ended is said again.
 */
export function showRunProgress(
  runs: RunStore,
  server: Server,
  runId: string,
  name: string,
  before: Before,
): void {
  if (!vscode.workspace.getConfiguration('trickster.train').get<boolean>('notification', true)) {
    return;
  }
  const watch = new RunWatch(runs, runId, before);
  void watch.ended.then((run) => {
    if (run?.state === 'failed') {
      void explainFailure(run);
    } else if (run?.state === 'finished') {
      void tellResult(run);
    }
  });
  void vscode.window.withProgress(
    {
      location: vscode.ProgressLocation.Notification,
      title: vscode.l10n.t('Training {0}', name),
      cancellable: true,
    },
    (progress, token) =>
      new Promise<void>((resolve) => {
        let done = 0;
        const subscriptions = [
          watch.onProgress((run) => {
            const percent = run.maxSteps ? (100 * run.step) / run.maxSteps : 0;
            progress.report({
              message: vscode.l10n.t('{0}. Cancel saves and stops it.', describe(run)),
              increment: Math.max(0, percent - done),
            });
            done = Math.max(done, percent);
          }),
          token.onCancellationRequested(() => {
            finish();
            server.request('trickster/stopRun', { runId }).catch((error: unknown) => {
              void vscode.window.showErrorMessage(
                vscode.l10n.t('{0} could not be asked to stop: {1}', name, errorText(error)),
              );
            });
          }),
        ];
        const finish = (): void => {
          subscriptions.forEach((subscription) => void subscription.dispose());
          resolve();
        };
        void Promise.race([watch.measured, watch.ended]).then(finish);
        watch.look();
      }),
  );
}

/**
 * Follows one run of the store from its start or resumption to its end. A resumed run is in the list as one that has
 * ended until the server looks again.
 */
class RunWatch {
  private readonly progressed = new vscode.EventEmitter<RunInfo>();
  private readonly subscriptions: { dispose(): unknown }[];
  private begun = false;
  private tellMeasured: () => void = () => undefined;
  private tellEnded: (run: RunInfo | undefined) => void = () => undefined;

  /** The run lives, and may have gone on. */
  readonly onProgress = this.progressed.event;
  /** It was evaluated after its first step here. */
  readonly measured = new Promise<void>((resolve) => (this.tellMeasured = resolve));
  /** It has ended; undefined when it is gone. */
  readonly ended = new Promise<RunInfo | undefined>((resolve) => (this.tellEnded = resolve));

  constructor(
    private readonly runs: RunStore,
    private readonly runId: string,
    private readonly before: Before,
  ) {
    this.subscriptions = [
      this.progressed,
      runs.onProgress((progressed) => {
        if (progressed.has(runId)) {
          this.look();
        }
      }),
      runs.onDidChange(() => this.look()),
    ];
  }

  look(): void {
    const run = this.runs.get(this.runId);
    this.begun ||= run !== undefined && (run.live || run.next > (this.before?.next ?? -1));
    if (run?.live) {
      if (isMeasured(run) && run.valStep !== (this.before?.valStep ?? null)) {
        this.tellMeasured();
      }
      this.progressed.fire(run);
    } else if (this.begun) {
      this.subscriptions.forEach((subscription) => void subscription.dispose());
      this.tellEnded(run);
    }
  }
}

/** A run that this window has started has come to its end. */
async function tellResult(run: RunInfo): Promise<void> {
  const choice = await vscode.window.showInformationMessage(
    isMeasured(run)
      ? vscode.l10n.t(
          '{0} has finished: {1} steps, best validation loss {2}.',
          run.name,
          text.count(run.step),
          text.loss(run.bestValLoss),
        )
      : vscode.l10n.t('{0} has finished: {1} steps.', run.name, text.count(run.step)),
    vscode.l10n.t('Open Dashboard'),
  );
  if (choice) {
    await vscode.commands.executeCommand('trickster.openDashboard', { runId: run.runId });
  }
}

/** A run that this window has started ended with an error: what happened and what to do next. */
async function explainFailure(run: RunInfo): Promise<void> {
  const words = [vscode.l10n.t('{0} failed.', run.name), run.error ?? '', run.advice ?? '']
    .filter(Boolean)
    .join(' ');
  const why = run.errorCode !== null && (await explanation(run.errorCode)) ? [vscode.l10n.t('Explain')] : [];
  const choice = await vscode.window.showErrorMessage(
    words,
    ...why,
    vscode.l10n.t('Open Dashboard'),
    vscode.l10n.t('Show Logs'),
  );
  if (choice === vscode.l10n.t('Open Dashboard')) {
    await vscode.commands.executeCommand('trickster.openDashboard', { runId: run.runId });
  } else if (choice === vscode.l10n.t('Explain')) {
    await vscode.commands.executeCommand('trickster.openLesson', run.errorCode);
  } else if (choice === vscode.l10n.t('Show Logs')) {
    await vscode.commands.executeCommand('trickster.showLogs');
  }
}
