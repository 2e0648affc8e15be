import * as vscode from 'vscode';
import type { App } from '../app';
import type { DeleteRunResult, RunInfo, RunStarted } from '../protocol';
import { showRunProgress, type Before } from '../runs/progress';
import { hasCheckpoint } from '../runs/measures';
import { configFor, runFor, targetOf } from './arguments';
import { ensureTraining } from './interpreter';

/** Configs and runs that are being started: an impatient second click starts no second trainer. */
const starting = new Set<string>();

/** Train a config, which is created from a preset where there is none. */
export async function train(app: App, argument: unknown): Promise<void> {
  const config = await configFor(app, argument, vscode.l10n.t('Train'));
  if (!config) {
    return;
  }
  const python = await ensureTraining(app);
  const configUri = config.toString();
  if (!python || starting.has(configUri)) {
    return;
  }
  starting.add(configUri);
  try {
    const started = await app.server.request('trickster/startRun', { configUri, python: python.path });
    showStarted(app, started, undefined);
  } finally {
    starting.delete(configUri);
  }
}

/** Go on with a run that is resumable. */
export async function resume(app: App, argument: unknown): Promise<void> {
  const run = await runFor(
    app,
    argument,
    vscode.l10n.t('Resume'),
    (candidate) => candidate.resumable,
    vscode.l10n.t('No run can be resumed: none is stopped, interrupted or failed.'),
  );
  if (!run) {
    return;
  }
  const { runId } = run;
  const before = { next: run.next, valStep: run.valStep };
  const python = await ensureTraining(app);
  if (!python || starting.has(runId)) {
    return;
  }
  starting.add(runId);
  try {
    const started = await app.server.request('trickster/resumeRun', { runId, python: python.path });
    showStarted(app, started, before);
  } finally {
    starting.delete(runId);
  }
}

function showStarted(app: App, started: RunStarted, before: Before): void {
  const name = vscode.Uri.file(started.runDirectory).path.split('/').at(-1) ?? 'a model';
  showRunProgress(app.runs, app.server, started.runId, name, before);
  const show = vscode.workspace.getConfiguration('trickster.train').get<string>('show', 'dashboard');
  if (show === 'samples' || show === 'both') {
    app.samples.show(started.runId);
  }
  if (show === 'dashboard' || show === 'both') {
    app.dashboard.show({ runId: started.runId, tab: 'learning' }, { preserveFocus: true });
  }
}

/** Save and stop. */
export async function stop(app: App, argument: unknown): Promise<void> {
  const run = await runFor(
    app,
    argument,
    vscode.l10n.t('Stop'),
    (candidate) => candidate.live,
    vscode.l10n.t('No run is training.'),
  );
  if (run) {
    await app.server.request('trickster/stopRun', { runId: run.runId });
  }
}

/** Write text with a checkpoint, in the dashboard's playground. */
export async function generate(app: App, argument: unknown): Promise<void> {
  const { checkpoint } = targetOf(argument);
  const run = await runFor(
    app,
    argument,
    vscode.l10n.t('Generate Text'),
    hasCheckpoint,
    vscode.l10n.t('No checkpoint yet: a run saves the first one while it trains.'),
  );
  if (run) {
    app.dashboard.show({ runId: run.runId, tab: 'playground', ...(checkpoint ? { checkpoint } : {}) });
  }
}

/** The trained model beside a random one, in the dashboard. */
export async function compare(app: App, argument: unknown): Promise<void> {
  const run = await runFor(
    app,
    argument,
    vscode.l10n.t('Compare with Untrained Model'),
    hasCheckpoint,
    vscode.l10n.t('No checkpoint to compare yet: a run saves the first one while it trains.'),
  );
  if (run) {
    app.dashboard.show({ runId: run.runId, tab: 'proof', act: true });
  }
}

/** The dashboard of a run: the one named, else the newest. */
export function openDashboard(app: App, argument: unknown): void {
  const { runId } = targetOf(argument);
  app.dashboard.show(runId === undefined ? {} : { runId, tab: 'learning' });
}

/** The samples of a run in the Output panel. */
export async function showSamples(app: App, argument: unknown): Promise<void> {
  const run = await runFor(
    app,
    argument ?? newest(app),
    vscode.l10n.t('Show Samples'),
    () => true,
    vscode.l10n.t('No run yet, so no samples.'),
  );
  if (!run) {
    return;
  }
  app.samples.show(run.runId, false);
}

function newest(app: App): { runId: string } | undefined {
  const run: RunInfo | undefined = app.runs.live()[0] ?? app.runs.all()[0];
  return run && { runId: run.runId };
}

/** Show the run's folder: in the Explorer when it lies in the workspace, else in the system's file manager. */
export async function revealRun(app: App, argument: unknown): Promise<void> {
  const run = await runFor(
    app,
    argument,
    vscode.l10n.t('Reveal Run'),
    () => true,
    vscode.l10n.t('No run yet.'),
  );
  if (run) {
    const folder = vscode.Uri.file(run.runDirectory);
    const inside = vscode.workspace.getWorkspaceFolder(folder) !== undefined;
    await vscode.commands.executeCommand(inside ? 'revealInExplorer' : 'revealFileInOS', folder);
  }
}

/** Remove a run that has ended, after asking. */
export async function deleteRun(app: App, argument: unknown): Promise<void> {
  const run = await runFor(
    app,
    argument,
    vscode.l10n.t('Delete Run'),
    (candidate) => !candidate.live,
    vscode.l10n.t('No run has ended yet. Stop a run before deleting it.'),
  );
  if (!run) {
    return;
  }
  const { runId } = run;
  const look = (): Promise<DeleteRunResult> =>
    app.server.request('trickster/deleteRun', { runId, dryRun: true });
  // The machine behind a remote window or a browser has no bin that VS Code could reach.
  const hasBin = vscode.env.remoteName === undefined && vscode.env.uiKind === vscode.UIKind.Desktop;
  let found = await look();
  for (;;) {
    if (!(await confirmed(run, found, hasBin))) {
      return;
    }
    const now = await look(); // The question may have stood there for long: only what was shown goes.
    if (JSON.stringify(now) === JSON.stringify(found)) {
      break;
    }
    found = now;
  }
  if (!hasBin) {
    await app.server.request('trickster/deleteRun', { runId });
  } else if (!(await movedToBin(found.removed))) {
    const forGood = await vscode.window.showWarningMessage(
      vscode.l10n.t('{0} cannot be moved to the trash. Delete it permanently?', run.name),
      { modal: true, detail: vscode.l10n.t('This cannot be undone.') },
      vscode.l10n.t('Delete Permanently'),
    );
    if (forGood === undefined) {
      return;
    }
    await app.server.request('trickster/deleteRun', { runId });
  }
  await app.runs.refresh();
}

async function confirmed(run: RunInfo, found: DeleteRunResult, hasBin: boolean): Promise<boolean> {
  const answer = await vscode.window.showWarningMessage(
    vscode.l10n.t('Delete {0} with its {1} checkpoints and samples?', run.name, run.checkpoints.length),
    { modal: true, detail: whatGoes(found, hasBin) },
    vscode.l10n.t('Delete'),
  );
  return answer === vscode.l10n.t('Delete');
}

/** Every path that goes, and what stays, as the question before a deletion says it. */
export function whatGoes({ removed, kept }: DeleteRunResult, hasBin: boolean): string {
  const lines = [
    hasBin
      ? vscode.l10n.t('These are moved to the trash:')
      : vscode.l10n.t('These are removed from disk, which cannot be undone:'),
    ...removed,
  ];
  if (kept.length > 0) {
    lines.push('', vscode.l10n.t('These stay, because they may not belong to the run:'), ...kept);
  }
  return lines.join('\n');
}

/** Move files and folders to the system's bin. False where one of them cannot be, as where there is no bin. */
export async function movedToBin(
  paths: readonly string[],
  remove: (file: vscode.Uri) => Thenable<void> = (file) =>
    vscode.workspace.fs.delete(file, { recursive: true, useTrash: true }),
): Promise<boolean> {
  for (const path of paths) {
    try {
      await remove(vscode.Uri.file(path));
    } catch {
      return false;
    }
  }
  return true;
}
