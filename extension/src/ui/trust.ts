import * as vscode from 'vscode';

/**
 * Whether the folder is trusted; where it is not, the person is asked first, in VS Code's own dialog. False when they say
 * no, or go to the page about trust instead.
 *
 * The API that asks for trust is only proposed, and not for published extensions. Listing tasks asks in the same dialog.
 * No task can have the version that is asked for here, so once trust is given nothing is looked for and nothing starts.
 */
async function ensureTrust(): Promise<boolean> {
  if (!vscode.workspace.isTrusted) {
    await vscode.tasks.fetchTasks({ version: '0.1.0', type: 'trickster' });
  }
  return vscode.workspace.isTrusted;
}

let waiting: vscode.Disposable | undefined;

/**
 * Run an action in a trusted folder. Where trust is not given now but later, on the page about it, the action is offered
 * then: it does not start by itself, long after it was asked for.
 */
export async function withTrust(title: string, action: () => Promise<unknown>): Promise<void> {
  waiting?.dispose();
  if (await ensureTrust()) {
    await action();
    return;
  }
  const granted = vscode.workspace.onDidGrantWorkspaceTrust(async () => {
    granted.dispose();
    if (await vscode.window.showInformationMessage(vscode.l10n.t('This folder is trusted now.'), title)) {
      await action();
    }
  });
  waiting = granted;
}
