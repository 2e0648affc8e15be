import * as vscode from 'vscode';
import type { LessonProgress } from '../lesson/progress';
import { STEPS, type Step } from '../lesson/steps';
import { clickCommand } from './click';

export const LESSON_VIEW = 'trickster.lesson';

/** The view "Lesson": the steps, ticked by evidence, each with one line of what was seen. */
export class LessonTree implements vscode.TreeDataProvider<Step>, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<Step[]>();
  private readonly subscriptions: vscode.Disposable[];
  readonly onDidChangeTreeData = this.changed.event;

  constructor(private readonly progress: LessonProgress) {
    this.subscriptions = [
      progress.onDidChange((id) => this.changed.fire(STEPS.filter((step) => step.id === id))),
      // Another step is now the next.
      progress.onDidComplete(() => this.changed.fire([...STEPS])),
    ];
  }

  dispose(): void {
    this.subscriptions.forEach((subscription) => void subscription.dispose());
    this.changed.dispose();
  }

  getChildren(step?: Step): Step[] {
    // With no folder open the welcome text takes the place of the list.
    return step || !vscode.workspace.workspaceFolders?.length ? [] : [...STEPS];
  }

  getTreeItem(step: Step): vscode.TreeItem {
    const done = this.progress.isDone(step.id);
    const next = this.progress.next() === step.id;
    const item = new vscode.TreeItem(`${STEPS.indexOf(step) + 1}. ${step.title}`);
    item.id = step.id;
    item.description = this.progress.fact(step.id) ?? step.invitation;
    item.iconPath = done
      ? new vscode.ThemeIcon('pass-filled', new vscode.ThemeColor('testing.iconPassed'))
      : new vscode.ThemeIcon(
          next ? 'circle-large-filled' : 'circle-large-outline',
          next ? new vscode.ThemeColor('charts.blue') : undefined,
        );
    item.tooltip = new vscode.MarkdownString(
      [
        `**${step.title}**`,
        done ? vscode.l10n.t('Done: {0}', item.description) : item.description,
        step.evidence,
        vscode.l10n.t('Click to read its page. The button beside it: {0}.', step.action),
      ].join('\n\n'),
    );
    item.command = { title: vscode.l10n.t('Open Lesson'), command: clickCommand(LESSON_VIEW) };
    item.contextValue = `step.${step.id}`;
    item.accessibilityInformation = {
      label: vscode.l10n.t(
        'Step {0} of {1}, {2}, {3}, {4}. Opens its page; its action is {5}.',
        STEPS.indexOf(step) + 1,
        STEPS.length,
        step.title,
        done ? vscode.l10n.t('done') : vscode.l10n.t('open'),
        item.description,
        step.action,
      ),
    };
    return item;
  }
}
