import * as vscode from 'vscode';
import type { RunInfo } from '../protocol';
import { besideColumn, panelIcon } from '../ui/panels';

const REPORT = 'trickster.report';
const MODEL = 'trickster.model';
const MARKDOWN = 'trickster-report';
const REMEMBERED = 'trickster.report.shown';

/** What a page may do: nothing but be looked at, whoever may have changed its file. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'";
/** The policy that our own pages bring along for the browser. Here it would come too late, and be complained about. */
const OWN_POLICY = `<meta http-equiv="Content-Security-Policy" content="${POLICY}">`;
const LINKS_STYLE = `nav { display: flex; flex-wrap: wrap; gap: 0.4rem 1.4rem; margin-bottom: 1.4rem; }
nav a { color: var(--vscode-textLink-foreground); text-decoration: none; }
nav a:hover, nav a:focus { text-decoration: underline; }`;

interface Link {
  title: string;
  command: string;
  argument?: unknown;
}

interface ShownReport {
  runId: string;
  name: string;
  path: string;
}

/**
 * Pages that the engine has made. HTML, in webviews that run no script and load nothing: what a run learned, and a model
 * before training. Markdown, in VS Code's own preview: what a command found out. Asking again renews the page.
 */
export class Pages implements vscode.Disposable {
  private readonly panels = new Map<string, vscode.WebviewPanel>();
  private readonly texts = new Map<string, string>();
  private readonly textChanged = new vscode.EventEmitter<vscode.Uri>();
  private readonly subscriptions: { dispose(): unknown }[];

  constructor(
    private readonly extensionUri: vscode.Uri,
    private readonly memory: vscode.Memento,
  ) {
    this.subscriptions = [
      vscode.window.registerWebviewPanelSerializer(REPORT, {
        deserializeWebviewPanel: async (panel) => {
          const shown = this.shownReport();
          if (!shown || !vscode.workspace.isTrusted) {
            panel.dispose();
            return;
          }
          this.adopt(REPORT, panel);
          await this.fillReport(panel, shown);
        },
      }),
      this.textChanged,
      vscode.workspace.registerTextDocumentContentProvider(MARKDOWN, {
        onDidChange: this.textChanged.event,
        provideTextDocumentContent: (uri) => this.texts.get(uri.path) ?? '',
      }),
    ];
  }

  dispose(): void {
    this.subscriptions.forEach((subscription) => void subscription.dispose());
  }

  /** What a run has learned: the page in its directory. */
  async showReport(run: RunInfo, path: string): Promise<void> {
    const shown = { runId: run.runId, name: run.name, path };
    await this.memory.update(REMEMBERED, shown);
    await this.fillReport(this.panel(REPORT, vscode.l10n.t('Training Report')), shown);
  }

  /** A read-only page of Markdown. */
  async showMarkdown(title: string, text: string): Promise<void> {
    const uri = vscode.Uri.from({ scheme: MARKDOWN, path: `/${title}.md` });
    const where = { preview: true, viewColumn: besideColumn() };
    this.texts.set(uri.path, text);
    this.textChanged.fire(uri);
    try {
      await vscode.commands.executeCommand('vscode.openWith', uri, 'vscode.markdown.preview.editor', where);
    } catch {
      // VS Code's own Markdown extension is turned off: the text can be read without it.
      await vscode.window.showTextDocument(uri, where);
    }
  }

  /** The report that is shown, or was shown last. */
  shownReport(): ShownReport | undefined {
    return this.memory.get<ShownReport>(REMEMBERED);
  }

  /** The model of a config before training. */
  showModel(name: string, page: string, config: vscode.Uri): void {
    this.fill(this.panel(MODEL, vscode.l10n.t('Model of {0}', name)), page, [
      {
        title: vscode.l10n.t('Train It'),
        command: 'trickster.train',
        argument: { configUri: config.toString() },
      },
    ]);
  }

  private async fillReport(panel: vscode.WebviewPanel, { runId, path }: ShownReport): Promise<void> {
    let page: string;
    try {
      page = new TextDecoder().decode(await vscode.workspace.fs.readFile(vscode.Uri.file(path)));
    } catch {
      page = `<html><head></head><body><p>${vscode.l10n.t('The report is gone. Regenerate it to see it again.')}</p></body></html>`;
    }
    this.fill(panel, page, [
      { title: vscode.l10n.t('Open in Browser'), command: 'trickster.openReport' },
      { title: vscode.l10n.t('Open Dashboard'), command: 'trickster.openDashboard', argument: { runId } },
      { title: vscode.l10n.t('Show Samples'), command: 'trickster.showSamples', argument: { runId } },
      { title: vscode.l10n.t('Regenerate'), command: 'trickster.report', argument: { runId } },
    ]);
  }

  private panel(kind: string, title: string): vscode.WebviewPanel {
    const existing = this.panels.get(kind);
    if (existing) {
      existing.title = title;
      existing.reveal();
      return existing;
    }
    const panel = vscode.window.createWebviewPanel(kind, title, besideColumn(), { enableFindWidget: true });
    this.adopt(kind, panel);
    return panel;
  }

  private adopt(kind: string, panel: vscode.WebviewPanel): void {
    this.panels.get(kind)?.dispose();
    this.panels.set(kind, panel);
    panel.iconPath = panelIcon(this.extensionUri);
    panel.onDidDispose(() => {
      if (this.panels.get(kind) === panel) {
        this.panels.delete(kind);
      }
    });
  }

  private fill(panel: vscode.WebviewPanel, page: string, links: readonly Link[]): void {
    panel.webview.options = {
      enableScripts: false,
      enableForms: false,
      localResourceRoots: [],
      enableCommandUris: links.map(({ command }) => command),
    };
    const bar = links
      .map(({ title, command, argument }) => {
        const query = argument === undefined ? '' : `?${encodeURIComponent(JSON.stringify([argument]))}`;
        return `<a href="command:${command}${query}">${title}</a>`;
      })
      .join('');
    panel.webview.html = framed(page, bar);
  }
}

/**
 * A page below our own beginning of a document. The policy and the head are over before the first byte of the page is
 * read, so nothing in it, whoever wrote it, can displace them: a browser ignores a second `<head>` or `<html>`.
 */
export function framed(page: string, bar: string): string {
  return (
    '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">' +
    `<meta http-equiv="Content-Security-Policy" content="${POLICY}"><style>${LINKS_STYLE}</style></head>` +
    `<body><nav aria-label="${vscode.l10n.t('Actions')}">${bar}</nav>${page.replace(OWN_POLICY, '')}`
  );
}
