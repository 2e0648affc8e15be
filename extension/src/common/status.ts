import * as vscode from 'vscode';
import { describeInterpreter } from './python';
import type { Server, ServerState } from './server';

/** How the language server is, in the language status of YAML files: quiet while all is well. */
export class ServerStatus implements vscode.Disposable {
  private readonly item = vscode.languages.createLanguageStatusItem('trickster.server', { language: 'yaml' });
  private readonly subscription: vscode.Disposable;

  constructor(server: Server) {
    this.item.name = 'Trickster';
    this.subscription = server.onDidChangeState((state) => this.show(state));
    this.show(server.state);
  }

  dispose(): void {
    this.subscription.dispose();
    this.item.dispose();
  }

  private show(state: ServerState): void {
    this.item.busy = state.kind === 'starting';
    this.item.severity = vscode.LanguageStatusSeverity.Information;
    this.item.text = 'Trickster';
    switch (state.kind) {
      case 'starting':
        this.item.detail = 'starting';
        this.item.command = { title: 'Show Logs', command: 'trickster.showLogs' };
        break;
      case 'running':
        this.item.detail = describeInterpreter(state.training ?? state.interpreter);
        this.item.command = { title: 'Select Interpreter', command: 'trickster.selectInterpreter' };
        break;
      case 'noPython':
        this.item.severity = vscode.LanguageStatusSeverity.Error;
        this.item.detail = 'no Python 3.10 or newer found';
        this.item.command = { title: 'Select Interpreter', command: 'trickster.selectInterpreter' };
        break;
      case 'failed':
        this.item.severity = vscode.LanguageStatusSeverity.Error;
        this.item.detail = state.message;
        this.item.command = { title: 'Restart Server', command: 'trickster.restartServer' };
        break;
    }
  }
}
