import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import * as vscode from 'vscode';
import { errorText } from './logger';
import type { Server } from './server';

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
    variables.description = 'The command trickster';
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
    const [name, text] =
      process.platform === 'win32'
        ? ['trickster.cmd', windowsCommand(python, modules, this.bytecodePath)]
        : ['trickster', shellCommand(python, modules, this.bytecodePath)];
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

function shellCommand(python: string, modules: readonly string[], bytecode: string): string {
  const quoted = (value: string): string => `'${value.replaceAll("'", `'\\''`)}'`;
  return `#!/bin/sh
# Written by the Trickster extension: its command line, in the interpreter that trains.
PYTHONPATH=${quoted(modules.join(':'))}"\${PYTHONPATH:+:$PYTHONPATH}"
PYTHONPYCACHEPREFIX=${quoted(bytecode)}
export PYTHONPATH PYTHONPYCACHEPREFIX
exec ${quoted(python)} -m trickster_engine "$@"
`;
}

function windowsCommand(python: string, modules: readonly string[], bytecode: string): string {
  return [
    '@echo off',
    'rem Written by the Trickster extension: its command line, in the interpreter that trains.',
    'setlocal',
    `set "PYTHONPATH=${modules.join(';')};%PYTHONPATH%"`,
    `set "PYTHONPYCACHEPREFIX=${bytecode}"`,
    `"${python}" -m trickster_engine %*`,
    '',
  ].join('\r\n');
}
