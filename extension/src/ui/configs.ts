import * as path from 'node:path';
import * as vscode from 'vscode';
import { setContext } from './context';
import * as text from './text';

/** How a training config looks from afar; the language server applies the same test. */
const LOOKS_LIKE_CONFIG = /^(model_config|training_config)\s*:/m;
/** Run directories keep a copy of their config; those are not the person's. */
const NOT_IN = '{**/node_modules/**,**/.venv/**,**/runs/**,**/checkpoints/**}';
const SETTLE_MS = 400;
const MOST_FILES = 200;
/** Of so many configs a list says what is in them, if that is known after so long. */
const MOST_DESCRIBED = 20;
const PATIENCE_MS = 1500;

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
  private readonly found = new vscode.EventEmitter<void>();
  private readonly settled = new vscode.EventEmitter<vscode.Uri>();
  private readonly timers = new Map<string, NodeJS.Timeout>();
  /** When a config was last in front or edited in this window, in milliseconds since 1970. */
  private readonly seen = new Map<string, number>();
  private readonly subscriptions: vscode.Disposable[];

  /** A YAML file has come or gone. */
  readonly onDidChange = this.changed.event;
  /** A document was opened or edited, and is a config. */
  readonly onDidSee = this.found.event;
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
    [...this.subscriptions, this.changed, this.found, this.settled].forEach(
      (subscription) => void subscription.dispose(),
    );
  }

  /** Look at what is open now. */
  look(): void {
    const document = vscode.window.activeTextEditor?.document;
    const config = document !== undefined && isConfig(document);
    if (config) {
      this.seen.set(document.uri.toString(), Date.now());
    }
    setContext('configOpen', config);
  }

  /** Tell the listeners about everything that was there before they listened. */
  announce(): void {
    this.changed.fire();
    this.see();
  }

  /** Look at every document that is open. */
  see(): void {
    this.look();
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

  /** Every config in the folders of the window: first the one that was edited or looked at last. */
  async all(): Promise<vscode.Uri[]> {
    const files = await vscode.workspace.findFiles('**/*.{yaml,yml}', NOT_IN, MOST_FILES);
    const marked = await Promise.all(
      files.map(async (uri) => ({
        uri,
        config: /\.trickster\.ya?ml$/.test(uri.path) || (await this.looksLike(uri)),
        used: Math.max(this.seen.get(uri.toString()) ?? 0, await edited(uri)),
      })),
    );
    return marked
      .filter(({ config }) => config)
      .sort((a, b) => b.used - a.used || a.uri.fsPath.localeCompare(b.uri.fsPath))
      .map(({ uri }) => uri);
  }

  /**
   * Let the person choose among configs, which keep their order. `describe` says what is in one; where it takes long, the
   * list does without. Undefined when the person does not choose.
   */
  async choose(
    configs: readonly vscode.Uri[],
    title: string,
    describe: (uri: vscode.Uri) => Promise<string>,
  ): Promise<vscode.Uri | undefined> {
    if (configs.length <= 1) {
      return configs[0];
    }
    const items = Promise.all(
      configs.map(async (uri, index) => {
        const folder = path.dirname(vscode.workspace.asRelativePath(uri)).replace(/^\.$/, '');
        const content = index < MOST_DESCRIBED ? await soon(describe(uri)) : '';
        const time = await edited(uri);
        const when = time > 0 ? vscode.l10n.t('edited {0}', text.ago(time / 1000)) : '';
        return {
          label: path.basename(uri.fsPath),
          description: [folder, content, when].filter(Boolean).join(' · '),
          uri,
        };
      }),
    );
    const picked = await vscode.window.showQuickPick(items, {
      title,
      placeHolder: vscode.l10n.t('Choose a config'),
      matchOnDescription: true,
    });
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
    this.found.fire();
    const key = document.uri.toString();
    this.seen.set(key, Date.now());
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

/** When a file was last written, in milliseconds since 1970; 0 where it is gone. */
async function edited(uri: vscode.Uri): Promise<number> {
  try {
    return (await vscode.workspace.fs.stat(uri)).mtime;
  } catch {
    return 0;
  }
}

/** What comes in time; else nothing. */
async function soon(words: Promise<string>): Promise<string> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(''), PATIENCE_MS);
  });
  try {
    return await Promise.race([words, late]);
  } catch {
    return '';
  } finally {
    clearTimeout(timer);
  }
}
