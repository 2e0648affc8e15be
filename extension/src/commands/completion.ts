import * as vscode from 'vscode';
import type { App } from '../app';
import { hasCheckpoint } from '../runs/measures';
import { runFor, targetOf } from './arguments';
import { ensureTraining } from './interpreter';

/** Let a run, or one of its checkpoints, complete what is typed. */
export async function completeWithModel(app: App, argument: unknown): Promise<void> {
  const { checkpoint } = targetOf(argument);
  const run = await runFor(
    app,
    argument,
    vscode.l10n.t('Complete with This Model'),
    hasCheckpoint,
    vscode.l10n.t('No checkpoint yet: a run saves the first one while it trains.'),
  );
  if (!run || !(await ensureTraining(app))) {
    return;
  }
  const { runId, name } = run;
  await app.ghostText.use({ runId, name, ...(checkpoint === undefined ? {} : { checkpoint }) });
}

/** Let no model complete any more. */
export async function stopCompleting(app: App): Promise<void> {
  await app.ghostText.use(undefined);
}
