import * as vscode from 'vscode';
import type { App } from '../app';
import { targetOf } from './arguments';
import { newConfig, writeReady } from './newConfig';
import * as runs from './runs';

/**
 * Write one of the lesson's experiments into the folder and train it, beside the baseline: the one that is named, or one
 * that the person chooses.
 */
export async function tryExperiment(app: App, argument: unknown): Promise<void> {
  const folder = vscode.workspace.workspaceFolders?.[0];
  if (!folder) {
    await newConfig(app); // says what to do first
    return;
  }
  const experiments = await readExperiments();
  const experiment =
    experiments.find(({ label }) => label === argument) ??
    (await vscode.window.showQuickPick(experiments, {
      title: vscode.l10n.t('Try an Experiment'),
      placeHolder: vscode.l10n.t('Choose one change to pico'),
      matchOnDetail: true,
    }));
  if (!experiment) {
    return;
  }
  const target = await writeReady(folder.uri, `experiments/${experiment.label}`);
  await vscode.window.showTextDocument(target, { preview: false });
  await runs.train(app, targetOf(target));
}

/** The ready experiments in the order of the lesson's page; what is not on it, the baseline, comes last. */
async function readExperiments(): Promise<vscode.QuickPickItem[]> {
  const root = vscode.extensions.getExtension('trickster.trickster')?.extensionUri;
  if (!root) {
    return [];
  }
  const read = async (...place: string[]): Promise<string> =>
    new TextDecoder().decode(await vscode.workspace.fs.readFile(vscode.Uri.joinPath(root, ...place)));
  const folder = ['walkthroughs', 'configs', 'experiments'];
  const files = await vscode.workspace.fs.readDirectory(vscode.Uri.joinPath(root, ...folder));
  const names = files.map(([name]) => name.replace(/\.yaml$/, ''));
  const page = await read('walkthroughs', 'experiment.md');
  return Promise.all(
    asOnPage(page, names).map(async (name) => {
      const head = /^# (?:Experiment: )?(.*)/.exec(await read(...folder, `${name}.yaml`))?.[1] ?? '';
      return { label: name, detail: head };
    }),
  );
}

/** Names in the order in which a page of the lesson links to them, then the others by the alphabet. */
export function asOnPage(page: string, names: readonly string[]): string[] {
  const place = (name: string): number => {
    const found = page.indexOf(`tryExperiment?%22${name}%22`);
    return found < 0 ? Infinity : found;
  };
  return [...names].sort((a, b) => (place(a) === place(b) ? a.localeCompare(b) : place(a) - place(b)));
}
