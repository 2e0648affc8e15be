import * as vscode from 'vscode';
import type { LessonProgress } from './progress';
import { STEPS } from './steps';

/** How long VS Code may take from opening the walkthrough's tab to knowing its steps. There is no event for that. */
const SETTLE_MS = 2000;

/**
 * Ticks the steps of VS Code's own walkthrough by the same evidence. VS Code passes over a condition that held already
 * when it read the walkthrough, so every step has two conditions, and its context key goes from one to the other each
 * time something happens: whichever held before, the other one then is news.
 */
export class WalkthroughTicks implements vscode.Disposable {
  private readonly subscriptions: vscode.Disposable[];
  private turn = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly progress: LessonProgress) {
    this.subscriptions = [
      progress.onDidComplete(() => this.tick()),
      vscode.window.tabGroups.onDidChangeTabs(({ opened, changed }) => {
        // The walkthrough's tab has no kind of its own in the API.
        if ([...opened, ...changed].some(({ input }) => input === undefined)) {
          this.tickNowAndSoon();
        }
      }),
    ];
    this.tickNowAndSoon();
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.subscriptions.forEach((subscription) => void subscription.dispose());
  }

  private tickNowAndSoon(): void {
    this.tick();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.tick(), SETTLE_MS);
  }

  private tick(): void {
    const value = (this.turn++ % 2) + 1;
    for (const { id } of STEPS) {
      if (this.progress.isDone(id)) {
        void vscode.commands.executeCommand('setContext', `trickster.step.${id}`, value);
      }
    }
  }
}
