import * as vscode from 'vscode';
import type { App } from '../app';
import type { RunInfo } from '../protocol';
import { hasCheckpoint } from '../runs/store';
import { runFor } from './arguments';
import { ensureTraining } from './environment';
import { withServerProgress } from './progress';

/** What a run has learned and what not: the report, made where it is out of date. */
export async function report(app: App, argument: unknown): Promise<void> {
  const run = await runFor(
    app,
    argument,
    'What Was Learned',
    hasCheckpoint,
    'Nothing to measure yet: a run saves its first checkpoint while it trains.',
  );
  const python = run && (await ensureTraining(app));
  if (!python) {
    return;
  }
  const answer = await withServerProgress(app, `Measuring what ${run.name} learned`, 'trickster/report', {
    runId: run.runId,
    python: python.path,
  });
  if (!answer) {
    return;
  }
  await app.pages.showReport(run, answer.path);
  await tick(app, run, answer.data as Measured | null);
}

/** What `trickster report --json` prints, as far as it is used here. */
interface Measured {
  verdict: { near: number; of: number };
}

async function tick(app: App, run: RunInfo, measured: Measured | null): Promise<void> {
  let evaluations = 0;
  await app.runs.history(run.runId, (events) => {
    evaluations += events.filter((event) => event.kind === 'eval').length;
  });
  if (evaluations < 2) {
    app.lesson.note(
      'learned',
      `${run.name} has been evaluated ${evaluations === 1 ? 'once' : 'not at all'} so far`,
    );
  } else if (measured) {
    const { near, of } = measured.verdict;
    app.lesson.done('learned', `${run.name}: ${near} of ${of} measures near real text`);
  } else if (!app.lesson.isDone('learned')) {
    app.lesson.done('learned', `the report of ${run.name}`);
  }
}

/**
 * The report that is shown, in the browser: it is a file that needs nothing else. A browser runs what a page holds, so
 * only a page that was made here is opened; the server knows those, and makes any other one anew.
 */
export async function openReport(app: App): Promise<void> {
  const shown = app.pages.shownReport();
  if (!shown) {
    return report(app, undefined);
  }
  const python = await ensureTraining(app);
  const made =
    python &&
    (await withServerProgress(app, `Measuring what ${shown.name} learned`, 'trickster/report', {
      runId: shown.runId,
      python: python.path,
    }));
  if (!made) {
    return;
  }
  const file = vscode.Uri.file(made.path);
  if (vscode.env.remoteName !== undefined || vscode.env.uiKind === vscode.UIKind.Web) {
    // The browser runs on another machine than the file lies on.
    await vscode.commands.executeCommand('revealInExplorer', file);
    void vscode.window.showInformationMessage(
      `${shown.name}'s report.html lies on the machine that trains. It is selected in the Explorer: download it from there, then open it in any browser.`,
    );
    return;
  }
  if (!(await vscode.env.openExternal(file))) {
    await vscode.commands.executeCommand('revealFileInOS', file);
  }
}
