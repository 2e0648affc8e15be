import * as vscode from 'vscode';
import { besideColumn } from './columns';

const SCHEME = 'trickster-report';

/** Read-only pages with what a command found out, in Markdown. Asking again renews the page that is open. */
export class Reports implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private readonly texts = new Map<string, string>();
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  private readonly registration = vscode.workspace.registerTextDocumentContentProvider(SCHEME, this);
  readonly onDidChange = this.changed.event;

  dispose(): void {
    this.registration.dispose();
    this.changed.dispose();
  }

  provideTextDocumentContent(uri: vscode.Uri): string {
    return this.texts.get(uri.path) ?? '';
  }

  async show(title: string, text: string): Promise<void> {
    const uri = vscode.Uri.from({ scheme: SCHEME, path: `/${title}.md` });
    this.texts.set(uri.path, text);
    this.changed.fire(uri);
    try {
      await vscode.commands.executeCommand('vscode.openWith', uri, 'vscode.markdown.preview.editor', {
        viewColumn: besideColumn(),
        preview: true,
      });
    } catch {
      // VS Code's own Markdown extension is turned off: the text can be read without it.
      await vscode.window.showTextDocument(uri, { preview: true, viewColumn: besideColumn() });
    }
  }
}
