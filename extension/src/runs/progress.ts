import * as vscode from 'vscode';
import { errorText } from '../common/logger';
import type { Server } from '../common/server';
import type { RunInfo, RunState } from '../protocol';
import { describe } from './statusBar';
import type { RunStore } from './store';
import { explanation } from '../lesson/troubleshooting';

const ENDED: ReadonlySet<RunState> = new Set(['finished', 'stopped', 'failed', 'interrupted']);

/**
 * The notification of a run that was just started or resumed from this window: progress, and a way to stop it. It goes
 * away with the run; the status bar, the sidebar and the dashboard tell of the run without it. `before` is how much of
 * its events was known before that: a resumed run is in the list as one that has ended until the server looks again.
 */
export function showRunProgress(
  runs: RunStore,
  server: Server,
  runId: string,
  name: string,
  before: number,
): void {
  if (!vscode.workspace.getConfiguration('trickster.train').get<boolean>('notification', true)) {
    return;
  }
  void vscode.window.withProgress(
    { location: vscode.ProgressLocation.Notification, title: `Training ${name}`, cancellable: true },
    (progress, token) =>
      new Promise<void>((resolve) => {
        let done = 0;
        let begun = false;
        const subscriptions: vscode.Disposable[] = [];
        const finish = (): void => {
          subscriptions.forEach((subscription) => void subscription.dispose());
          resolve();
        };
        const update = (): void => {
          const run = runs.get(runId);
          begun ||= run !== undefined && (run.live || run.next > before);
          if (!run?.live) {
            if (begun && (run === undefined || ENDED.has(run.state))) {
              finish();
              if (run?.state === 'failed') {
                void explainFailure(run);
              }
            }
            return;
          }
          const percent = run.maxSteps ? (100 * run.step) / run.maxSteps : 0;
          progress.report({
            message: `${describe(run)}. Cancel stops it and saves.`,
            increment: Math.max(0, percent - done),
          });
          done = Math.max(done, percent);
        };
        subscriptions.push(
          runs.onProgress((progressed) => {
            if (progressed.has(runId)) {
              update();
            }
          }),
          runs.onDidChange(update),
          token.onCancellationRequested(() => {
            finish();
            server.request('trickster/stopRun', { runId }).catch((error: unknown) => {
              void vscode.window.showErrorMessage(`${name} could not be asked to stop: ${errorText(error)}`);
            });
          }),
        );
        update();
      }),
  );
}

/** A run that this window has started ended with an error: what happened and what to do next. */
async function explainFailure(run: RunInfo): Promise<void> {
  const words = [`${run.name} failed.`, run.error ?? '', run.advice ?? ''].filter(Boolean).join(' ');
  const why = run.errorCode !== null && (await explanation(run.errorCode)) ? ['Explain'] : [];
  const choice = await vscode.window.showErrorMessage(words, ...why, 'Open Dashboard', 'Show Logs');
  if (choice === 'Open Dashboard') {
    await vscode.commands.executeCommand('trickster.openDashboard', { runId: run.runId });
  } else if (choice === 'Explain') {
    await vscode.commands.executeCommand('trickster.openLesson', run.errorCode);
  } else if (choice === 'Show Logs') {
    await vscode.commands.executeCommand('trickster.showLogs');
  }
}
