import * as vscode from 'vscode';
import * as text from '../common/text';
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
    this.item.name = 'Trickster Run';
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
        title: 'Open Dashboard',
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
        others > 0 ? `and ${others} more training` : '',
        'Click to open the dashboard.',
      ]
        .filter(Boolean)
        .join('\n\n'),
    );
    this.item.tooltip = tooltip;
    this.item.accessibilityInformation = { label: `Trickster run ${run.name}, ${describe(run)}` };
    this.item.backgroundColor =
      run.state === 'failed' ? new vscode.ThemeColor('statusBarItem.errorBackground') : undefined;
    this.item.show();
  }
}

/**
 * "step 1,200 of 4,000 · val 1.62 · 3 min left": one line for lists and tooltips. Until the model is measured on held-out
 * text for the first time, its training loss: what it had at step 0 would look as if nothing moved.
 */
export function describe(run: RunInfo): string {
  const parts: string[] = [];
  switch (run.state) {
    case 'starting':
      return 'starting';
    case 'preparing':
      return 'preparing the data';
    case 'training':
    case 'evaluating':
    case 'stopping':
      parts.push(
        run.maxSteps
          ? `step ${text.count(run.step)} of ${text.count(run.maxSteps)}`
          : `step ${text.count(run.step)}`,
      );
      break;
    default:
      parts.push(run.state === 'finished' ? 'finished' : `${run.state} at step ${text.count(run.step)}`);
  }
  if (isMeasured(run)) {
    parts.push(run.live ? `val ${text.loss(run.valLoss)}` : `best val ${text.loss(run.bestValLoss)}`);
  } else if (run.trainLoss !== null) {
    parts.push(`loss ${text.loss(run.trainLoss)}`);
  }
  if (run.state === 'stopping') {
    parts.push('saving');
  } else if (run.live && run.etaSeconds !== null) {
    parts.push(`${text.duration(run.etaSeconds)} left`);
  }
  return parts.join(' · ');
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
