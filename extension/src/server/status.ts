import * as vscode from 'vscode';
import { describeInterpreter } from '../python/interpreters';
import type { Server, ServerState } from './server';

/** How the language server is, in the language status of YAML files: quiet while all is well. */
export class ServerStatus implements vscode.Disposable {
  private item: vscode.LanguageStatusItem | undefined;
  private readonly subscription: vscode.Disposable;

  constructor(server: Server) {
    this.subscription = server.onDidChangeState((state) => this.show(state));
    this.show(server.state);
  }

  dispose(): void {
    this.subscription.dispose();
    this.item?.dispose();
  }

  private show(state: ServerState): void {
    if (state.kind === 'asleep') {
      return;
    }
    this.item ??= this.made();
    const { item } = this;
    item.busy = state.kind === 'starting';
    item.severity = vscode.LanguageStatusSeverity.Information;
    item.text = 'Trickster';
    switch (state.kind) {
      case 'starting':
        item.detail = vscode.l10n.t('starting');
        item.command = { title: vscode.l10n.t('Show Logs'), command: 'trickster.showLogs' };
        break;
      case 'running':
        item.detail = describeInterpreter(state.training ?? state.interpreter);
        item.command = { title: vscode.l10n.t('Select Interpreter'), command: 'trickster.selectInterpreter' };
        break;
      case 'noPython':
        item.severity = vscode.LanguageStatusSeverity.Error;
        item.detail = vscode.l10n.t('no Python 3.10 or newer found');
        item.command = { title: vscode.l10n.t('Select Interpreter'), command: 'trickster.selectInterpreter' };
        break;
      case 'failed':
        item.severity = vscode.LanguageStatusSeverity.Error;
        item.detail = state.message;
        item.command = { title: vscode.l10n.t('Restart Server'), command: 'trickster.restartServer' };
        break;
    }
  }

  private made(): vscode.LanguageStatusItem {
    const item = vscode.languages.createLanguageStatusItem('trickster.server', { language: 'yaml' });
    item.name = 'Trickster';
    return item;
  }
}
