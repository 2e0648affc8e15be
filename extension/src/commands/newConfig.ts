import * as vscode from 'vscode';
import type { App } from '../app';
import * as text from '../ui/text';
import type { PresetInfo } from '../protocol';

const READY = /^(?:hardware|experiments)\/([\w-]+)$/;

/**
 * Write a preset into the folder as a file that opens: the one that is named, else one that the person chooses; or one of
 * the lesson's ready configs, where it is named, such as `hardware/n150`. Undefined when the person does not choose.
 */
export async function newConfig(app: App, ready?: unknown, preset?: string): Promise<vscode.Uri | undefined> {
  const folder = vscode.workspace.workspaceFolders?.[0];
  if (!folder) {
    const choice = await vscode.window.showInformationMessage(
      vscode.l10n.t('Open a folder first: the config and the runs are files in it.'),
      vscode.l10n.t('Open Folder'),
    );
    if (choice) {
      await vscode.commands.executeCommand('vscode.openFolder');
    }
    return undefined;
  }
  if (typeof ready === 'string' && READY.test(ready)) {
    const uri = await writeReady(folder.uri, ready);
    await vscode.window.showTextDocument(uri, { preview: false });
    return uri;
  }
  const chosen = preset ?? (await choosePreset(app));
  if (chosen === undefined) {
    return undefined;
  }
  const { uri } = await app.server.request('trickster/createConfig', {
    preset: chosen,
    folderUri: folder.uri.toString(),
  });
  const created = vscode.Uri.parse(uri);
  await vscode.window.showTextDocument(created, { preview: false });
  return created;
}

async function choosePreset(app: App): Promise<string | undefined> {
  const { presets } = await app.server.request('trickster/presets', {});
  const picked = await vscode.window.showQuickPick(presets.map(presetItem), {
    title: vscode.l10n.t('New Config from Preset'),
    placeHolder: vscode.l10n.t('Choose a model size. The smallest trains in minutes.'),
    matchOnDescription: true,
    matchOnDetail: true,
  });
  return picked?.preset.name;
}

/** Copy a ready config of the lesson into a folder, unless one of that name lies there: that is the person's own. */
export async function writeReady(folder: vscode.Uri, ready: string): Promise<vscode.Uri> {
  const [, name = ready] = READY.exec(ready) ?? [];
  const root = vscode.extensions.getExtension('trickster.trickster')?.extensionUri ?? folder;
  const source = vscode.Uri.joinPath(root, 'walkthroughs', 'configs', `${ready}.yaml`);
  const target = vscode.Uri.joinPath(folder, `${name}.trickster.yaml`);
  try {
    await vscode.workspace.fs.copy(source, target, { overwrite: false });
  } catch (error) {
    if (!(error instanceof vscode.FileSystemError && error.code === 'FileExists')) {
      throw error;
    }
  }
  return target;
}

function presetItem(preset: PresetInfo): vscode.QuickPickItem & { preset: PresetInfo } {
  const facts = [vscode.l10n.t('{0} parameters', text.short(preset.parameters))];
  if (preset.estimatedSeconds !== null) {
    const time = text.duration(preset.estimatedSeconds);
    facts.push(
      preset.estimateSource === 'measured'
        ? vscode.l10n.t('{0} on this machine', time)
        : vscode.l10n.t('about {0} on this machine', time),
    );
  }
  return {
    label: preset.name,
    description: facts.join(' · '),
    detail: preset.description.replace(new RegExp(`^${preset.name}:\\s*`), ''),
    preset,
  };
}
