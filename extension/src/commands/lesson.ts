import * as vscode from 'vscode';
import type { App } from '../app';
import { STEPS } from '../lesson/steps';
import { openTroubleshooting } from '../lesson/troubleshooting';
import { describeConfig } from './arguments';

const WALKTHROUGH = 'trickster.trickster#lesson';

let roomMade = false;

/**
 * VS Code leaves the page of a step out, without a word, where the editor is narrower than 950 pixels: as on a laptop with
 * the side bar on the right that is open from the beginning. It is closed for the first page that a window opens; who opens
 * it again keeps it.
 */
async function makeRoom(): Promise<void> {
  if (!roomMade) {
    roomMade = true;
    await vscode.commands.executeCommand('workbench.action.closeAuxiliaryBar');
  }
}

/** Open the native walkthrough, at a step where one is named; or a page of troubleshooting, by its name or a code. */
export async function openLesson(_app: App, argument: unknown): Promise<void> {
  const step = STEPS.find(
    ({ id }) => id === argument || id === (argument as { id?: string } | undefined)?.id,
  );
  if (!step && typeof argument === 'string' && (await openTroubleshooting(argument))) {
    return;
  }
  await makeRoom();
  await vscode.commands.executeCommand(
    'workbench.action.openWalkthrough',
    step ? { category: WALKTHROUGH, step: step.id } : WALKTHROUGH,
    false,
  );
  // VS Code opens it in preview: the next page that a link of the lesson opens would take its place.
  await vscode.commands.executeCommand('workbench.action.keepEditor');
}

/** Open the config of the folder: the only one, one of several, or a new one. */
export async function openConfig(app: App): Promise<void> {
  const configs = await app.configs.all();
  if (configs.length === 0) {
    await vscode.commands.executeCommand('trickster.newConfig'); // which asks for trust where it must
    return;
  }
  const uri = await app.configs.choose(configs, vscode.l10n.t('Open Config'), (config) =>
    describeConfig(app, config),
  );
  if (uri) {
    await vscode.window.showTextDocument(uri, { preview: false });
  }
}
