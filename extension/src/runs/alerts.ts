import * as vscode from 'vscode';
import type { RunStore } from './store';

/** What the codes of a config's alerts begin with. */
const ALERT = 'alert-';
/** Seconds after which an alert is history: it stands in the dashboard, and nobody is interrupted for it. */
const NEWS_SECONDS = 300;

/** Tells of each alert of a run once, when it comes. */
export class AlertMessages implements vscode.Disposable {
  private readonly subscription: vscode.Disposable;

  constructor(private readonly runs: RunStore) {
    this.subscription = runs.onEvents(({ runId, events }) => {
      for (const event of events) {
        if (event.kind === 'warning' && event.code.startsWith(ALERT) && isNews(event.t)) {
          void this.show(runId, `${event.message} ${event.advice}`);
        }
      }
    });
  }

  dispose(): void {
    this.subscription.dispose();
  }

  private async show(runId: string, words: string): Promise<void> {
    const name = this.runs.nameOf(runId);
    const open = vscode.l10n.t('Open Dashboard');
    if ((await vscode.window.showWarningMessage(vscode.l10n.t('{0}: {1}', name, words), open)) === open) {
      await vscode.commands.executeCommand('trickster.openDashboard', { runId });
    }
  }
}

function isNews(seconds: number): boolean {
  return Date.now() / 1000 - seconds < NEWS_SECONDS;
}
