import * as path from 'node:path';
import * as vscode from 'vscode';
import { setContext } from './context';

/** How a training config looks from afar; the language server applies the same test. */
const LOOKS_LIKE_CONFIG = /^(model_config|training_config)\s*:/m;
/** Run directories keep a copy of their config; those are not the person's. */
const NOT_IN = '{**/node_modules/**,**/.venv/**,**/runs/**,**/checkpoints/**}';
const SETTLE_MS = 400;
const MOST_FILES = 200;

/** Whether a document is a training config. */
export function isConfig(document: vscode.TextDocument): boolean {
  return (
    document.languageId === 'yaml' &&
    (/\.trickster\.ya?ml$/.test(document.uri.path) || LOOKS_LIKE_CONFIG.test(document.getText()))
  );
}

/** The configs of the window: which is open, which exist, and when one has settled after an edit. */
export class Configs implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>();
  private readonly settled = new vscode.EventEmitter<vscode.Uri>();
  private readonly timers = new Map<string, NodeJS.Timeout>();
  private readonly subscriptions: vscode.Disposable[];

  /** A YAML file has come or gone. */
  readonly onDidChange = this.changed.event;
  /** An open config was opened or edited, and left alone for a moment. */
  readonly onDidSettle = this.settled.event;

  constructor() {
    const watcher = vscode.workspace.createFileSystemWatcher('**/*.{yaml,yml}', false, true, false);
    this.subscriptions = [
      watcher,
      watcher.onDidCreate(() => this.changed.fire()),
      watcher.onDidDelete(() => this.changed.fire()),
      vscode.window.onDidChangeActiveTextEditor(() => this.look()),
      vscode.workspace.onDidOpenTextDocument((document) => this.touch(document)),
      vscode.workspace.onDidChangeTextDocument(({ document }) => {
        this.touch(document);
        this.look();
      }),
      vscode.workspace.onDidSaveTextDocument((document) => {
        if (document.languageId === 'yaml') {
          this.changed.fire();
        }
      }),
    ];
  }

  dispose(): void {
    this.timers.forEach((timer) => clearTimeout(timer));
    [...this.subscriptions, this.changed, this.settled].forEach(
      (subscription) => void subscription.dispose(),
    );
  }

  /** Look at what is open now. */
  look(): void {
    const document = vscode.window.activeTextEditor?.document;
    setContext('configOpen', document !== undefined && isConfig(document));
  }

  /** Tell the listeners about everything that was there before they listened. */
  announce(): void {
    this.look();
    this.changed.fire();
    vscode.workspace.textDocuments.forEach((document) => this.touch(document));
  }

  /** The config in front of the person: the active editor's, else the only one visible. */
  inFront(): vscode.Uri | undefined {
    const active = vscode.window.activeTextEditor?.document;
    if (active && isConfig(active)) {
      return active.uri;
    }
    const visible = vscode.window.visibleTextEditors.map(({ document }) => document).filter(isConfig);
    return visible.length === 1 ? visible[0]?.uri : undefined;
  }

  /** Every config in the folders of the window, by name. */
  async all(): Promise<vscode.Uri[]> {
    const files = await vscode.workspace.findFiles('**/*.{yaml,yml}', NOT_IN, MOST_FILES);
    const marked = await Promise.all(
      files.map(async (uri) => ({
        uri,
        config: /\.trickster\.ya?ml$/.test(uri.path) || (await this.looksLike(uri)),
      })),
    );
    return marked
      .filter(({ config }) => config)
      .map(({ uri }) => uri)
      .sort((a, b) => a.fsPath.localeCompare(b.fsPath));
  }

  /** Let the person choose among configs. Undefined when they do not. */
  async choose(configs: readonly vscode.Uri[], title: string): Promise<vscode.Uri | undefined> {
    if (configs.length <= 1) {
      return configs[0];
    }
    const picked = await vscode.window.showQuickPick(
      configs.map((uri) => ({
        label: path.basename(uri.fsPath),
        description: path.dirname(vscode.workspace.asRelativePath(uri)).replace(/^\.$/, ''),
        uri,
      })),
      { title, placeHolder: 'Choose a config' },
    );
    return picked?.uri;
  }

  private async looksLike(uri: vscode.Uri): Promise<boolean> {
    const open = vscode.workspace.textDocuments.find(
      (document) => document.uri.toString() === uri.toString(),
    );
    if (open) {
      return isConfig(open);
    }
    try {
      return LOOKS_LIKE_CONFIG.test(Buffer.from(await vscode.workspace.fs.readFile(uri)).toString('utf8'));
    } catch {
      return false;
    }
  }

  private touch(document: vscode.TextDocument): void {
    if (!isConfig(document)) {
      return;
    }
    const key = document.uri.toString();
    clearTimeout(this.timers.get(key));
    this.timers.set(
      key,
      setTimeout(() => {
        this.timers.delete(key);
        this.settled.fire(document.uri);
      }, SETTLE_MS),
    );
  }
}
