import * as vscode from 'vscode';
import type { App } from '../app';
import type { ReportResult, RunInfo } from '../protocol';
import { hasCheckpoint } from '../runs/measures';
import { runFor } from './arguments';
import { ensureTraining } from './interpreter';
import { withServerProgress } from '../server/longRequest';

/** What a run has learned and what not: the report, made where it is out of date. */
export async function report(app: App, argument: unknown): Promise<void> {
  const run = await runFor(
    app,
    argument,
    vscode.l10n.t('Training Report'),
    hasCheckpoint,
    vscode.l10n.t('Nothing to measure yet: a run saves its first checkpoint while it trains.'),
  );
  const answer = run && (await made(app, run));
  if (answer) {
    await app.pages.showReport(run, answer.path);
    tick(app, run, answer.data as Measured | null);
  }
}

/** The report of a run, made where it is out of date; undefined where the person does not want to wait. */
async function made(app: App, run: Pick<RunInfo, 'runId' | 'name'>): Promise<ReportResult | undefined> {
  const python = await ensureTraining(app);
  return (
    python &&
    withServerProgress(app, vscode.l10n.t('Measuring what {0} learned', run.name), 'trickster/report', {
      runId: run.runId,
      python: python.path,
    })
  );
}

/** What `trickster report --json` prints, as far as it is used here. */
interface Measured {
  verdict: { near: number; of: number };
}

function tick(app: App, run: RunInfo, measured: Measured | null): void {
  const { evaluations } = app.runs.get(run.runId) ?? run;
  if (evaluations === null) {
    return; // not read yet: nothing is known of it
  }
  if (evaluations < 2) {
    app.lesson.note(
      'learned',
      evaluations === 1
        ? vscode.l10n.t('{0} has been evaluated once so far', run.name)
        : vscode.l10n.t('{0} has not been evaluated so far', run.name),
    );
  } else if (measured) {
    const { near, of } = measured.verdict;
    app.lesson.done('learned', vscode.l10n.t('{0}: {1} of {2} measures near real text', run.name, near, of));
  } else if (!app.lesson.isDone('learned')) {
    app.lesson.done('learned', vscode.l10n.t('the report of {0}', run.name));
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
  const answer = await made(app, shown);
  if (!answer) {
    return;
  }
  const file = vscode.Uri.file(answer.path);
  if (vscode.env.remoteName !== undefined || vscode.env.uiKind === vscode.UIKind.Web) {
    // The browser runs on another machine than the file lies on.
    await vscode.commands.executeCommand('revealInExplorer', file);
    void vscode.window.showInformationMessage(
      vscode.l10n.t(
        "{0}'s report.html is on the machine that trains. It is selected in the Explorer: download it there, then open it in any browser.",
        shown.name,
      ),
    );
    return;
  }
  if (!(await vscode.env.openExternal(file))) {
    await vscode.commands.executeCommand('revealFileInOS', file);
  }
}
