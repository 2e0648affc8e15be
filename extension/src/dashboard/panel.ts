import { randomBytes } from 'node:crypto';
import * as vscode from 'vscode';
import { errorCode, errorText } from '../ui/log';
import type { Interpreters } from '../python/interpreters';
import type { Server } from '../server/server';
import * as text from '../ui/text';
import type { LessonProgress } from '../lesson/progress';
import { ErrorCode, type GeneratePart, type RunInfo } from '../protocol';
import type { RunStore } from '../runs/store';
import { besideColumn, panelIcon } from '../ui/panels';
import {
  INSIDE_METHODS,
  type Comparison,
  type Focus,
  type FromDashboard,
  type GenerateRequest,
  type InsideMethod,
  type InsideParamsOf,
  type ToDashboard,
} from './contract';

const VIEW_TYPE = 'trickster.dashboard';
/** How many alternatives are asked for with each token written. */
const ALTERNATIVES = 8;

/**
 * The dashboard: one panel a window. Hidden or reloaded, the page asks for the events again and takes its own small state
 * (what is shown) from VS Code. Comparisons are kept here, because they take long and nobody else has them.
 */
export class Dashboard implements vscode.Disposable {
  private panel: vscode.WebviewPanel | undefined;
  private ready = false;
  private pending: Focus | undefined;
  private readonly following = new Map<string, vscode.Disposable>();
  private readonly generating = new Map<number, vscode.CancellationTokenSource>();
  private readonly looking = new Set<vscode.CancellationTokenSource>();
  private readonly comparisons = new Map<string, Comparison>();
  private readonly subscriptions: vscode.Disposable[];

  constructor(
    private readonly extensionUri: vscode.Uri,
    private readonly server: Server,
    private readonly runs: RunStore,
    private readonly lesson: LessonProgress,
    private readonly interpreters: Interpreters,
    private readonly log: vscode.LogOutputChannel,
  ) {
    this.subscriptions = [
      vscode.window.registerWebviewPanelSerializer(VIEW_TYPE, {
        deserializeWebviewPanel: (panel) => {
          this.adopt(panel);
          return Promise.resolve();
        },
      }),
      // How the runs in sight go on, the page takes from their events.
      runs.onDidChange(() => this.sendRuns()),
    ];
  }

  dispose(): void {
    this.unfollowAll();
    this.subscriptions.forEach((subscription) => void subscription.dispose());
  }

  /** Bring the dashboard up and show this in it. */
  show(focus: Focus, { preserveFocus = false } = {}): void {
    if (this.panel) {
      this.panel.reveal(undefined, preserveFocus);
    } else {
      const panel = vscode.window.createWebviewPanel(
        VIEW_TYPE,
        vscode.l10n.t('Trickster Dashboard'),
        { viewColumn: besideColumn(), preserveFocus },
        { enableScripts: true, localResourceRoots: [vscode.Uri.joinPath(this.extensionUri, 'dist')] },
      );
      this.adopt(panel);
    }
    this.pending = focus;
    this.sendRuns();
  }

  /** The runs whose curves are drawn now. */
  inSight(): string[] {
    return this.panel?.visible ? [...this.following.keys()] : [];
  }

  private adopt(panel: vscode.WebviewPanel): void {
    this.server.wake();
    this.panel?.dispose();
    this.panel = panel;
    this.ready = false;
    panel.iconPath = panelIcon(this.extensionUri);
    panel.webview.options = {
      enableScripts: true,
      localResourceRoots: [vscode.Uri.joinPath(this.extensionUri, 'dist')],
    };
    panel.webview.onDidReceiveMessage((message: FromDashboard) => void this.receive(message));
    panel.onDidChangeViewState(() => {
      if (!panel.visible) {
        // A hidden page is thrown away by VS Code; it says "ready" when it is there again.
        this.leave();
      }
    });
    panel.onDidDispose(() => {
      if (this.panel === panel) {
        this.panel = undefined;
        this.leave();
      }
    });
    panel.webview.html = this.html(panel.webview);
  }

  private html(webview: vscode.Webview): string {
    const nonce = randomBytes(16).toString('base64');
    const resource = (name: string): string =>
      webview.asWebviewUri(vscode.Uri.joinPath(this.extensionUri, 'dist', name)).toString();
    const policy = [
      "default-src 'none'",
      `style-src ${webview.cspSource}`,
      `script-src 'nonce-${nonce}'`,
      "base-uri 'none'",
      "form-action 'none'",
    ].join('; ');
    return `<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta http-equiv="Content-Security-Policy" content="${policy}">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <link rel="stylesheet" href="${resource('dashboard.css')}">
  <title>Trickster Dashboard</title>
</head>
<body>
  <div id="app"></div>
  <script nonce="${nonce}" src="${resource('dashboard.js')}"></script>
</body>
</html>`;
  }

  private send(message: ToDashboard): void {
    void this.panel?.webview.postMessage(message);
  }

  private async receive(message: FromDashboard): Promise<void> {
    switch (message.type) {
      case 'ready':
        this.leave();
        this.ready = true;
        this.comparisons.forEach((comparison) => this.send({ type: 'comparison', comparison }));
        this.sendRuns();
        break;
      case 'follow':
        this.follow(message.runIds);
        break;
      case 'generate':
        await this.generate(message.id, message.request);
        break;
      case 'cancelGenerate':
        this.generating.get(message.id)?.cancel();
        break;
      case 'nextTokens':
        await this.nextTokens(message.id, message.request, message.count);
        break;
      case 'compare':
        await this.compare(message.runId);
        break;
      case 'inside':
        await this.look(message.id, message.method, message.params);
        break;
      case 'command':
        await vscode.commands.executeCommand(
          `trickster.${message.command}`,
          message.runId === undefined ? undefined : { runId: message.runId },
        );
        break;
    }
  }

  private follow(runIds: readonly string[]): void {
    for (const [runId, following] of this.following) {
      if (!runIds.includes(runId)) {
        following.dispose();
        this.following.delete(runId);
      }
    }
    for (const runId of runIds) {
      if (!this.following.has(runId)) {
        this.following.set(
          runId,
          this.runs.follow(runId, (events, after) =>
            this.send({ type: 'events', runId, after, events, run: this.runs.progressOf(runId) }),
          ),
        );
      }
    }
  }

  private unfollowAll(): void {
    this.following.forEach((following) => void following.dispose());
    this.following.clear();
  }

  /** The page is gone, and with it what it had asked for; the next one asks anew. */
  private leave(): void {
    this.ready = false;
    this.unfollowAll();
    this.generating.forEach((source) => source.cancel());
    this.looking.forEach((source) => source.cancel());
  }

  private sendRuns(): void {
    // Until the first list has come, nobody knows that there are no runs.
    if (!this.ready || !this.runs.loaded) {
      return;
    }
    const focus = this.pending;
    this.pending = undefined;
    this.send({ type: 'runs', runs: this.runs.all() });
    if (focus) {
      this.send({ type: 'focus', focus });
    }
  }

  private async generate(id: number, request: GenerateRequest): Promise<void> {
    const source = new vscode.CancellationTokenSource();
    this.generating.set(id, source);
    const partialResultToken = `trickster-generate-${id}-${randomBytes(4).toString('hex')}`;
    const listening = this.server.onPartial(partialResultToken, (part) =>
      this.send({ type: 'generatePart', id, part: part as GeneratePart }),
    );
    try {
      const result = await this.server.request(
        'trickster/generate',
        {
          ...(await this.model(request)),
          prompt: request.prompt,
          sampling: request.sampling,
          probabilities: ALTERNATIVES,
          partialResultToken,
        },
        source.token,
      );
      this.send({ type: 'generated', id, result });
    } catch (error) {
      this.send({
        type: 'generated',
        id,
        error: source.token.isCancellationRequested ? '' : this.explain(error),
      });
    } finally {
      listening.dispose();
      source.dispose();
      this.generating.delete(id);
    }
  }

  private async nextTokens(id: number, request: GenerateRequest, count: number): Promise<void> {
    try {
      const result = await this.server.request('trickster/nextTokens', {
        ...(await this.model(request)),
        text: request.prompt,
        sampling: request.sampling,
        count,
      });
      this.send({ type: 'nextTokens', id, result });
    } catch (error) {
      this.send({ type: 'nextTokens', id, error: this.explain(error) });
    }
  }

  /** Ask what the page wants to know of a model's inside. */
  private async look<M extends InsideMethod>(
    id: number,
    method: M,
    params: InsideParamsOf<M>,
  ): Promise<void> {
    if (!INSIDE_METHODS.includes(method)) {
      return; // What else the server can do is not for a page to ask for.
    }
    const source = new vscode.CancellationTokenSource();
    this.looking.add(source);
    try {
      const asked = { ...params, python: await this.python() };
      const result = await this.server.request(method, asked, source.token);
      this.send({ type: 'inside', id, result });
    } catch (error) {
      this.send({ type: 'inside', id, error: this.explain(error) });
    } finally {
      this.looking.delete(source);
      source.dispose();
    }
  }

  private async compare(runId: string): Promise<void> {
    const run = this.runs.get(runId);
    const before = this.comparisons.get(runId);
    const known = before?.created === run?.created ? before : undefined;
    if (!run || known?.message !== undefined) {
      return;
    }
    const tell = (news: Partial<Comparison>): void => {
      const comparison: Comparison = {
        runId,
        created: run.created,
        message: undefined,
        error: undefined,
        // What came of the last time stays in sight until there is something new.
        result: known?.result,
        ...news,
      };
      this.comparisons.set(runId, comparison);
      this.send({ type: 'comparison', comparison });
    };
    tell({ message: vscode.l10n.t('Loading both models…') });
    const workDoneToken = `trickster-compare-${randomBytes(4).toString('hex')}`;
    const listening = this.server.onPartial(workDoneToken, (part) => {
      const { message } = part as { message?: string };
      if (message) {
        tell({ message });
      }
    });
    try {
      const python = await this.python();
      const result = await this.server.request('trickster/compare', { runId, python, workDoneToken });
      tell({ result });
      this.lesson.done('compare', comparisonFact(this.runs.get(runId) ?? run));
    } catch (error) {
      tell({ error: this.explain(error) });
    } finally {
      listening.dispose();
    }
  }

  private async model(
    request: GenerateRequest,
  ): Promise<{ runId: string; checkpoint: string | null; python: string | null }> {
    return { runId: request.runId, checkpoint: request.checkpoint, python: await this.python() };
  }

  private async python(): Promise<string | null> {
    return (await this.interpreters.forTraining())?.path ?? null;
  }

  private explain(error: unknown): string {
    this.log.error(errorText(error));
    if (errorCode(error) === ErrorCode.noTorch) {
      return vscode.l10n.t('The models need PyTorch. Run “Trickster: Set Up Environment”, then try again.');
    }
    return errorText(error);
  }
}

function comparisonFact(run: RunInfo): string {
  const random = run.baselines['uniform'];
  return random === undefined || run.bestValLoss === null
    ? run.name
    : vscode.l10n.t('{0}: uniform {1}, trained {2}', run.name, text.loss(random), text.loss(run.bestValLoss));
}
