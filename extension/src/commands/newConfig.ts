import * as vscode from 'vscode';
import type { App } from '../app';
import * as text from '../common/text';
import type { PresetInfo } from '../protocol';

/** Choose a preset and write it into the folder as a file that opens. Undefined when the person does not choose. */
export async function newConfig(app: App): Promise<vscode.Uri | undefined> {
  const folder = vscode.workspace.workspaceFolders?.[0];
  if (!folder) {
    const choice = await vscode.window.showInformationMessage(
      'Open a folder first: the config and the runs are files in it.',
      'Open Folder',
    );
    if (choice) {
      await vscode.commands.executeCommand('vscode.openFolder');
    }
    return undefined;
  }
  const { presets } = await app.server.request('trickster/presets', {});
  const picked = await vscode.window.showQuickPick(presets.map(presetItem), {
    title: 'New Config from Preset',
    placeHolder: 'How big a model? The smallest one learns in minutes.',
    matchOnDescription: true,
    matchOnDetail: true,
  });
  if (!picked) {
    return undefined;
  }
  const { uri } = await app.server.request('trickster/createConfig', {
    preset: picked.preset.name,
    folderUri: folder.uri.toString(),
  });
  const created = vscode.Uri.parse(uri);
  await vscode.window.showTextDocument(created, { preview: false });
  return created;
}

function presetItem(preset: PresetInfo): vscode.QuickPickItem & { preset: PresetInfo } {
  const facts = [`${text.short(preset.parameters)} parameters`];
  if (preset.estimatedSeconds !== null) {
    const about = preset.estimateSource === 'measured' ? '' : 'about ';
    facts.push(`${about}${text.duration(preset.estimatedSeconds)} on this machine`);
  }
  return {
    label: preset.name,
    description: facts.join(' · '),
    detail: preset.description.replace(new RegExp(`^${preset.name}:\\s*`), ''),
    preset,
  };
}
