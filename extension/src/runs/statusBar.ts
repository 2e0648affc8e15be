import * as vscode from 'vscode';
import * as text from '../ui/text';
import type { RunInfo } from '../protocol';
import { isMeasured } from './measures';
import type { RunStore } from './store';

/** The one item in the status bar: how the newest live run is doing, or how it ended. Opens the dashboard. */
export class RunStatusBar implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem(
    'trickster.run',
    vscode.StatusBarAlignment.Left,
    10,
  );
  private readonly subscriptions: vscode.Disposable[];
  /** Runs that were live while this window watched; an old run is no news. */
  private readonly watched = new Set<string>();
  private shown: string | undefined;

  constructor(private readonly runs: RunStore) {
    this.item.name = vscode.l10n.t('Trickster Run');
    this.subscriptions = [runs.onDidChange(() => this.update()), runs.onProgress(() => this.update())];
  }

  dispose(): void {
    this.subscriptions.forEach((subscription) => void subscription.dispose());
    this.item.dispose();
  }

  private update(): void {
    this.runs.live().forEach((run) => this.watched.add(run.runId));
    const seen = this.runs.all().filter((candidate) => this.watched.has(candidate.runId));
    const run = seen.find((candidate) => candidate.live) ?? seen[0];
    if (!run) {
      this.item.hide();
      return;
    }
    this.item.text = statusText(run);
    if (run.runId !== this.shown) {
      // Not at every update: VS Code forgets the arguments of the old command, and a click in that moment would fail.
      this.shown = run.runId;
      this.item.command = {
        title: vscode.l10n.t('Open Dashboard'),
        command: 'trickster.openDashboard',
        arguments: [{ runId: run.runId }],
      };
    }
    const others = this.runs.live().filter((other) => other.runId !== run.runId).length;
    const tooltip = new vscode.MarkdownString(
      [
        `**${run.name}** ${describe(run)}`,
        run.error ?? '',
        run.advice ?? '',
        others > 0 ? vscode.l10n.t('and {0} more training', others) : '',
        vscode.l10n.t('Click to open the dashboard.'),
      ]
        .filter(Boolean)
        .join('\n\n'),
    );
    this.item.tooltip = tooltip;
    this.item.accessibilityInformation = {
      label: vscode.l10n.t('Trickster run {0}, {1}', run.name, describe(run)),
    };
    this.item.backgroundColor =
      run.state === 'failed' ? new vscode.ThemeColor('statusBarItem.errorBackground') : undefined;
    this.item.show();
  }
}

/**
 * "step 1,200 of 4,000 · val 1.62 · 3 min left": one line for lists and tooltips. Until the model is evaluated on validation
 * text for the first time, its training loss: what it had at step 0 would look as if nothing moved.
 */
export function describe(run: RunInfo): string {
  const parts: string[] = [];
  switch (run.state) {
    case 'starting':
      return vscode.l10n.t('starting');
    case 'preparing':
      return vscode.l10n.t('preparing the data');
    case 'training':
    case 'evaluating':
    case 'stopping':
      parts.push(
        run.maxSteps
          ? vscode.l10n.t('step {0} of {1}', text.count(run.step), text.count(run.maxSteps))
          : vscode.l10n.t('step {0}', text.count(run.step)),
      );
      break;
    default:
      parts.push(ended(run));
  }
  if (isMeasured(run)) {
    parts.push(
      run.live
        ? vscode.l10n.t('val {0}', text.loss(run.valLoss))
        : vscode.l10n.t('best val {0}', text.loss(run.bestValLoss)),
    );
  } else if (run.trainLoss !== null) {
    parts.push(vscode.l10n.t('loss {0}', text.loss(run.trainLoss)));
  }
  if (run.state === 'stopping') {
    parts.push(vscode.l10n.t('saving'));
  } else if (run.live && run.etaSeconds !== null) {
    parts.push(vscode.l10n.t('{0} left', text.duration(run.etaSeconds)));
  }
  return parts.join(' · ');
}

function ended(run: RunInfo): string {
  const step = text.count(run.step);
  switch (run.state) {
    case 'finished':
      return vscode.l10n.t('finished');
    case 'failed':
      return vscode.l10n.t('failed at step {0}', step);
    case 'interrupted':
      return vscode.l10n.t('interrupted at step {0}', step);
    default:
      return vscode.l10n.t('stopped at step {0}', step);
  }
}

function statusText(run: RunInfo): string {
  const icons: Partial<Record<RunInfo['state'], string>> = {
    finished: '$(check)',
    stopped: '$(debug-pause)',
    interrupted: '$(debug-disconnect)',
    failed: '$(error)',
  };
  // Nothing that spins: an icon that is redrawn sixty times a second takes the processor from the training it tells of.
  const icon = icons[run.state] ?? '$(pulse)';
  return run.live ? `${icon} ${describe(run)}` : `${icon} ${run.name} ${describe(run)}`;
}
