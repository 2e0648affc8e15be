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
      title: 'Try an Experiment',
      placeHolder: 'pico with one change: which?',
      matchOnDetail: true,
    }));
  if (!experiment) {
    return;
  }
  const target = await writeReady(folder.uri, `experiments/${experiment.label}`);
  await vscode.window.showTextDocument(target, { preview: false });
  await runs.train(app, targetOf(target));
}

async function readExperiments(): Promise<vscode.QuickPickItem[]> {
  const root = vscode.extensions.getExtension('trickster.trickster')?.extensionUri;
  if (!root) {
    return [];
  }
  const folder = vscode.Uri.joinPath(root, 'walkthroughs', 'configs', 'experiments');
  const names = (await vscode.workspace.fs.readDirectory(folder)).map(([name]) => name).sort();
  return Promise.all(
    names.map(async (name) => {
      const source = vscode.Uri.joinPath(folder, name);
      const text = new TextDecoder().decode(await vscode.workspace.fs.readFile(source));
      const head = /^# (?:Experiment: )?(.*)/.exec(text)?.[1] ?? '';
      return { label: name.replace(/\.yaml$/, ''), detail: head };
    }),
  );
}
