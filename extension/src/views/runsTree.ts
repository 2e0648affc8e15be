import * as path from 'node:path';
import * as vscode from 'vscode';
import * as text from '../ui/text';
import type { AgentAction, CheckpointInfo, RunInfo } from '../protocol';
import { describe } from '../runs/statusBar';
import { bitsPerByte, hasCheckpoint } from '../runs/measures';
import type { RunStore } from '../runs/store';
import { clickCommand } from './click';

export const RUNS_VIEW = 'trickster.runs';

/** What the tree hands to commands; it has the fields that the server's commands take. */
export interface RunNode {
  kind: 'run';
  runId: string;
}

interface CheckpointNode {
  kind: 'checkpoint';
  runId: string;
  checkpoint: string;
}

type Node = RunNode | CheckpointNode;

/** The view "Runs": live, finished and interrupted runs with their checkpoints below. */
export class RunsTree implements vscode.TreeDataProvider<Node>, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<Node[] | undefined>();
  private readonly subscriptions: { dispose(): unknown }[];
  private shown: readonly RunNode[];
  readonly onDidChangeTreeData = this.changed.event;

  constructor(private readonly runs: Pick<RunStore, 'all' | 'get' | 'onDidChange' | 'onProgress'>) {
    this.shown = this.listed([]);
    this.subscriptions = [
      this.changed,
      runs.onDidChange(() => this.refresh()),
      runs.onProgress((progressed) =>
        this.changed.fire(this.shown.filter(({ runId }) => progressed.has(runId))),
      ),
    ];
  }

  dispose(): void {
    this.subscriptions.forEach((subscription) => void subscription.dispose());
  }

  /**
   * Draw the list anew only where another run is in it: VS Code forgets what is selected then, and a click that meets it
   * is lost.
   */
  private refresh(): void {
    const before = this.shown;
    this.shown = this.listed(before);
    const same =
      before.length === this.shown.length && this.shown.every((node, place) => node === before[place]);
    this.changed.fire(same ? [...this.shown] : undefined);
  }

  /** The rows of all runs; one that was shown before stays the row it was. */
  private listed(before: readonly RunNode[]): RunNode[] {
    const known = new Map(before.map((node) => [node.runId, node]));
    return this.runs.all().map(({ runId }) => known.get(runId) ?? { kind: 'run', runId });
  }

  getChildren(node?: Node): Node[] {
    if (!node) {
      return [...this.shown];
    }
    if (node.kind === 'checkpoint') {
      return [];
    }
    const checkpoints = this.runs.get(node.runId)?.checkpoints ?? [];
    return [...checkpoints]
      .reverse()
      .map(({ path: folder }) => ({ kind: 'checkpoint', runId: node.runId, checkpoint: folder }));
  }

  getTreeItem(node: Node): vscode.TreeItem {
    const run = this.runs.get(node.runId);
    if (!run) {
      return new vscode.TreeItem('');
    }
    if (node.kind === 'run') {
      return runItem(run);
    }
    const checkpoint = run.checkpoints.find(({ path: folder }) => folder === node.checkpoint);
    return checkpoint ? checkpointItem(run, checkpoint) : new vscode.TreeItem('');
  }
}

function runItem(run: RunInfo): vscode.TreeItem {
  const item = new vscode.TreeItem(
    run.name,
    hasCheckpoint(run) ? vscode.TreeItemCollapsibleState.Collapsed : vscode.TreeItemCollapsibleState.None,
  );
  item.id = run.runId;
  item.description = run.live ? describe(run) : [describe(run), text.ago(run.created)].join(' · ');
  item.iconPath = icon(run);
  item.contextValue = [
    'run',
    run.live ? 'live' : 'ended',
    run.resumable ? 'resumable' : '',
    hasCheckpoint(run) ? 'checkpoints' : '',
  ]
    .filter(Boolean)
    .join('.');
  item.tooltip = runTooltip(run);
  item.command = { title: vscode.l10n.t('Open Dashboard'), command: clickCommand(RUNS_VIEW) };
  item.accessibilityInformation = { label: vscode.l10n.t('Run {0}, {1}', run.name, describe(run)) };
  return item;
}

function checkpointItem(run: RunInfo, checkpoint: CheckpointInfo): vscode.TreeItem {
  const label = vscode.l10n.t('step {0}', text.count(checkpoint.step));
  const item = new vscode.TreeItem(label);
  item.id = `${run.runId} ${checkpoint.path}`;
  item.description = [
    checkpoint.valLoss === null ? '' : vscode.l10n.t('val {0}', text.loss(checkpoint.valLoss)),
    checkpoint.best ? vscode.l10n.t('best') : '',
  ]
    .filter(Boolean)
    .join(' · ');
  item.iconPath = new vscode.ThemeIcon(checkpoint.best ? 'star-full' : 'save');
  item.contextValue = 'checkpoint';
  item.tooltip = vscode.l10n.t(
    '{0}\nA Hugging Face model directory: transformers opens it directly, llama.cpp after a conversion.',
    checkpoint.path,
  );
  item.command = { title: vscode.l10n.t('Generate Text'), command: clickCommand(RUNS_VIEW) };
  return item;
}

function icon(run: RunInfo): vscode.ThemeIcon {
  const color = (id: string): vscode.ThemeColor => new vscode.ThemeColor(id);
  switch (run.state) {
    case 'finished':
      return new vscode.ThemeIcon('pass', color('testing.iconPassed'));
    case 'failed':
      return new vscode.ThemeIcon('error', color('testing.iconFailed'));
    case 'stopped':
      return new vscode.ThemeIcon('debug-pause');
    case 'interrupted':
      return new vscode.ThemeIcon('debug-disconnect', color('list.warningForeground'));
    default:
      return new vscode.ThemeIcon('pulse', color('charts.blue'));
  }
}

/** Which agent had the run started or stopped. */
function actionText({ action, origin, step }: AgentAction): string {
  return action === 'start'
    ? vscode.l10n.t('started by {0}', origin)
    : vscode.l10n.t('stopped by {0} at step {1}', origin, text.count(step));
}

function runTooltip(run: RunInfo): vscode.MarkdownString {
  const bits = run.bestValLoss === null ? undefined : bitsPerByte(run, run.bestValLoss);
  const rows: [string, string | null][] = [
    [vscode.l10n.t('Parameters'), run.parameters === null ? null : text.count(run.parameters)],
    [
      vscode.l10n.t('Best validation loss'),
      run.bestValLoss === null ? null : vscode.l10n.t('{0} nats/token', run.bestValLoss.toFixed(3)),
    ],
    [
      vscode.l10n.t('To compare between tokenizers'),
      bits === undefined ? null : vscode.l10n.t('{0} bits/byte', bits.toFixed(3)),
    ],
    [
      vscode.l10n.t('Speed'),
      run.tokensPerSecond === null ? null : vscode.l10n.t('{0} tokens/s', text.count(run.tokensPerSecond)),
    ],
    [vscode.l10n.t('Device'), run.device],
    [vscode.l10n.t('Agents'), run.actions.map(actionText).join(' · ') || null],
    [vscode.l10n.t('Config'), run.configPath === null ? null : path.basename(run.configPath)],
    [vscode.l10n.t('Folder'), run.runDirectory],
  ];
  const tooltip = new vscode.MarkdownString(`**${run.name}** ${describe(run)}\n\n`);
  for (const [name, value] of rows) {
    if (value !== null) {
      tooltip.appendMarkdown(`${name}: `).appendText(value).appendMarkdown('\n\n');
    }
  }
  if (run.error) {
    tooltip.appendText(`${run.error} ${run.advice ?? ''}`);
  }
  return tooltip;
}
