import * as vscode from 'vscode';
import type { Configs } from '../ui/configs';
import type { Server } from './server';

/**
 * Starts the language server once there is something for it: a config is open, the folder has runs, or the person looks
 * at one of our views. (A command that needs it starts it too.) Most YAML files are somebody else's, and cost no process.
 */
export function wakeWhenNeeded(
  server: Server,
  configs: Configs,
  views: readonly vscode.TreeView<unknown>[],
): vscode.Disposable {
  const wake = (): void => server.wake();
  const runs = vscode.workspace.createFileSystemWatcher('**/runs/*/events.jsonl', false, true, true);
  const subscriptions = [
    runs,
    runs.onDidCreate(wake),
    configs.onDidSee(wake),
    ...views.map((view) => view.onDidChangeVisibility(({ visible }) => visible && wake())),
  ];
  if (views.some(({ visible }) => visible)) {
    wake();
  }
  void haveRuns().then((found) => found && wake());
  return vscode.Disposable.from(...subscriptions);
}

/** Whether a folder of the window has runs in its usual place. No search: that would start a process. */
async function haveRuns(): Promise<boolean> {
  for (const { uri } of vscode.workspace.workspaceFolders ?? []) {
    try {
      for (const [name] of await vscode.workspace.fs.readDirectory(vscode.Uri.joinPath(uri, 'runs'))) {
        if (await exists(vscode.Uri.joinPath(uri, 'runs', name, 'events.jsonl'))) {
          return true;
        }
      }
    } catch {
      // There is no such folder.
    }
  }
  return false;
}

async function exists(uri: vscode.Uri): Promise<boolean> {
  return vscode.workspace.fs.stat(uri).then(
    () => true,
    () => false,
  );
}
