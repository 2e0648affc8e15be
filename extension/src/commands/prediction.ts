import * as vscode from 'vscode';
import type { App } from '../app';

interface Question {
  asks: string;
  answers: readonly string[];
  /** Which answer is right. */
  right: number;
}

/** What two steps of the lesson ask before they tell. `walkthroughs/by_hand.json` has the figures. */
const QUESTIONS: Readonly<Record<'head' | 'update', Question>> = {
  head: {
    asks: vscode.l10n.t('Where does the third token look?'),
    answers: [
      vscode.l10n.t('mostly at “be”, just before it'),
      vscode.l10n.t('at all three alike'),
      vscode.l10n.t('at both “to”, and hardly at “be”'),
    ],
    right: 2,
  },
  update: {
    asks: vscode.l10n.t('Which weight does the step raise most?'),
    answers: [
      vscode.l10n.t('a to b: the first pair'),
      vscode.l10n.t('b to a'),
      vscode.l10n.t('c to a: the highest probability'),
    ],
    right: 1,
  },
};

/** Ask what the reader predicts, before the answer on the page is opened. Any prediction ticks the step. */
export async function predict(app: App, argument: unknown): Promise<void> {
  const id = typeof argument === 'string' ? argument : (argument as { id?: string } | undefined)?.id;
  const step = id === 'update' ? 'update' : 'head';
  const { asks, answers, right } = QUESTIONS[step];
  const chosen = await vscode.window.showQuickPick([...answers], {
    title: vscode.l10n.t('Say What You Predict'),
    placeHolder: asks,
  });
  if (chosen === undefined) {
    return;
  }
  const correct = answers.indexOf(chosen) === right;
  app.lesson.done(
    step,
    correct ? vscode.l10n.t('predicted, and right') : vscode.l10n.t('predicted, and learned otherwise'),
  );
  void vscode.window.showInformationMessage(
    correct
      ? vscode.l10n.t('That is what happens. The page shows why, under “Show the answer”.')
      : vscode.l10n.t(
          'Something else happens: {0}. The page shows why, under “Show the answer”.',
          answers[right] ?? '',
        ),
  );
}
