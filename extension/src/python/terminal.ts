import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import * as vscode from 'vscode';
import { errorText } from '../ui/log';
import { launcherIn } from './interpreters';
import type { Server } from '../server/server';
import { shellCommand, windowsCommand } from './terminalScript';

/**
 * The command `trickster` in the terminals of the window, in the interpreter that trains: what the lesson writes for a
 * terminal works there with nothing installed. It comes last on the PATH, so one that somebody has installed goes first.
 */
export class TerminalCommand implements vscode.Disposable {
  private readonly subscription: vscode.Disposable;
  private written = '';

  constructor(
    private readonly variables: vscode.EnvironmentVariableCollection,
    /** Where the command is written; only we write there. */
    private readonly folder: string,
    private readonly extensionPath: string,
    private readonly bytecodePath: string,
    server: Server,
    private readonly log: vscode.LogOutputChannel,
  ) {
    variables.description = vscode.l10n.t('The command trickster');
    this.subscription = server.onDidChangeState((state) => {
      if (state.kind === 'running') {
        void this.offer((state.training ?? state.interpreter).path, state.training !== undefined);
      }
    });
  }

  dispose(): void {
    this.subscription.dispose();
  }

  private async offer(python: string, trains: boolean): Promise<void> {
    if (!vscode.workspace.isTrusted) {
      this.variables.clear();
      return;
    }
    // An interpreter without PyTorch has no PyYAML either: checks and estimates take the one that comes along.
    const modules = [this.extensionPath, ...(trains ? [] : [path.join(this.extensionPath, 'dist', 'libs')])];
    const command = [python, launcherIn(this.extensionPath), 'trickster_engine'];
    const [name, text] =
      process.platform === 'win32'
        ? ['trickster.cmd', windowsCommand(command, modules, this.bytecodePath)]
        : ['trickster', shellCommand(command, modules, this.bytecodePath)];
    if (text === this.written) {
      return;
    }
    try {
      await fs.mkdir(this.folder, { recursive: true });
      await fs.writeFile(path.join(this.folder, name), text, { mode: 0o755 });
      this.written = text;
      this.variables.append('PATH', `${path.delimiter}${this.folder}`);
    } catch (error) {
      this.log.warn(`The command trickster could not be put into the terminal: ${errorText(error)}`);
    }
  }
}
