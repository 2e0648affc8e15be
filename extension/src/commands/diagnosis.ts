import * as vscode from 'vscode';
import type { App } from '../app';
import { openTroubleshooting } from '../lesson/troubleshooting';
import type { RunInfo } from '../protocol';

/** The faults that `trickster break` plants, and the heading of the page that explains each. */
const FAULTS: readonly { fault: string; label: string; page: string }[] = [
  { fault: 'wrong-targets', label: vscode.l10n.t('Wrong targets'), page: 'wrong-targets' },
  { fault: 'no-causal-mask', label: vscode.l10n.t('No causal mask'), page: 'sees-the-future' },
  { fault: 'rate-too-high', label: vscode.l10n.t('Rate too high'), page: 'rate-too-high' },
  {
    fault: 'shuffled-validation',
    label: vscode.l10n.t('Shuffled validation'),
    page: 'validation-shuffled',
  },
  { fault: 'frozen-layer', label: vscode.l10n.t('Frozen layer'), page: 'layer-frozen' },
];

const faultOf = (run: RunInfo): unknown => run.data['fault'];

/** Have a broken run diagnosed, and train one where there is none yet. The fault is in the run; nobody is told it. */
export async function diagnose(app: App): Promise<void> {
  const broken = app.runs.all().filter((run) => faultOf(run) !== undefined && !run.live);
  const another = {
    label: vscode.l10n.t('Train another broken run'),
    detail: vscode.l10n.t('In a terminal; it takes a minute or two'),
    run: undefined,
  };
  const chosen =
    broken.length === 0
      ? another
      : await vscode.window.showQuickPick(
          [...broken.map((run) => ({ label: run.name, detail: '', run })), another],
          { title: vscode.l10n.t('Diagnose a Broken Run'), placeHolder: vscode.l10n.t('Choose a run') },
        );
  if (!chosen) {
    return;
  }
  if (!chosen.run) {
    breakOne();
    return;
  }
  const named = await vscode.window.showQuickPick([...FAULTS], {
    title: vscode.l10n.t('What is wrong with {0}?', chosen.label),
    placeHolder: vscode.l10n.t('Name its fault'),
  });
  if (!named) {
    return;
  }
  const right = named.fault === faultOf(chosen.run);
  if (right) {
    app.lesson.done('diagnose', `${chosen.label}: ${named.label}`);
  }
  const why = vscode.l10n.t('Explain');
  const choice = await (right
    ? vscode.window.showInformationMessage(vscode.l10n.t('Yes: {0}.', named.label), why)
    : vscode.window.showWarningMessage(
        vscode.l10n.t('No: {0} would show otherwise. Look at the evidence again.', named.label),
        why,
      ));
  if (choice === why) {
    await openTroubleshooting(named.page);
  }
}

function breakOne(): void {
  const terminal = vscode.window.createTerminal('Trickster');
  terminal.show();
  terminal.sendText('trickster break');
}
