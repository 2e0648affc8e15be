import * as vscode from 'vscode';
import type { App } from '../app';
import { ErrorCode, type CompleteResult } from '../protocol';
import { errorCode, errorText } from '../ui/log';
import { setContext } from '../ui/context';
import * as text from '../ui/text';

/** Characters before the cursor that are sent at least, and at most twice as many: more than any model here reads. */
const CHARACTERS_SENT = 16_000;
/** After a failure nothing is asked for so long: a process would be started for each key. */
const PAUSE_MS = 10_000;
const KEY = 'trickster.completesWith';

/** The model that completes: a run, by its newest checkpoint, or one checkpoint of it. */
export interface Chosen {
  runId: string;
  checkpoint?: string;
  /** What people call it. */
  name: string;
}

/**
 * Completes what is typed with a model that was trained here, as grey text at the cursor. Nothing is offered until a model
 * has been chosen, in Restricted Mode, or in files that the setting `trickster.completion.files` does not name.
 */
export class GhostText implements vscode.Disposable, vscode.InlineCompletionItemProvider {
  private readonly item = vscode.window.createStatusBarItem(
    'trickster.completion',
    vscode.StatusBarAlignment.Right,
    100,
  );
  private readonly subscriptions: { dispose(): unknown }[];
  private registration: vscode.Disposable | undefined;
  private chosen: Chosen | undefined;
  private pausedUntil = 0;
  private python: Promise<string | null> | undefined;
  /** Counts the choices: one that is still being loaded gives way to a later one. */
  private turn = 0;

  constructor(
    private readonly app: Pick<App, 'server' | 'interpreters' | 'log'>,
    private readonly memory: vscode.Memento,
  ) {
    this.item.name = vscode.l10n.t('Trickster Completion');
    this.item.command = 'trickster.stopCompleting';
    this.subscriptions = [
      this.item,
      vscode.workspace.onDidChangeConfiguration((change) => {
        if (change.affectsConfiguration('trickster.completion')) {
          this.register();
        }
      }),
      vscode.workspace.onDidGrantWorkspaceTrust(() => this.register()),
      app.interpreters.onDidChange(() => {
        this.pausedUntil = 0;
        this.python = undefined;
      }),
    ];
    this.chosen = memory.get<Chosen>(KEY);
    this.register();
  }

  dispose(): void {
    this.registration?.dispose();
    this.subscriptions.forEach((subscription) => void subscription.dispose());
  }

  /**
   * Complete with this model from now on, also after the window is opened again; with none, stop. Rejects where the model
   * cannot be used. It is loaded here, because an editor does not wait for seconds after a key.
   */
  async use(chosen: Chosen | undefined): Promise<void> {
    const turn = ++this.turn;
    const loaded = chosen ? await this.ask(chosen, '', true, true) : undefined;
    if (turn !== this.turn) {
      return;
    }
    this.pausedUntil = 0;
    this.chosen = chosen;
    this.register();
    if (loaded && this.registration) {
      this.show(loaded);
    }
    await this.memory.update(KEY, chosen);
  }

  async provideInlineCompletionItems(
    document: vscode.TextDocument,
    position: vscode.Position,
    context: vscode.InlineCompletionContext,
    token: vscode.CancellationToken,
  ): Promise<vscode.InlineCompletionItem[]> {
    const { chosen } = this;
    const after = document.lineAt(position).text.slice(position.character);
    // Within a line the text behind the cursor would have to fit, and the model does not see it.
    const isPaused = Date.now() < this.pausedUntil;
    if (!chosen || isPaused || context.selectedCompletionInfo !== undefined || /[\p{L}\p{N}_]/u.test(after)) {
      return [];
    }
    // The beginning moves in large steps, so that what was read for one key serves the next.
    const steps = Math.floor(document.offsetAt(position) / CHARACTERS_SENT);
    const skipped = Math.max(0, steps - 1) * CHARACTERS_SENT;
    const begin = document.positionAt(skipped);
    // What a step has cut in two, a character of two halves, is left out.
    const before = document
      .getText(new vscode.Range(begin, position))
      .replace(/^[\uDC00-\uDFFF]/, '')
      .replace(/\r\n?/g, '\n');
    try {
      // On request over several lines; while typing a second line would push the text about.
      const oneLine = context.triggerKind === vscode.InlineCompletionTriggerKind.Automatic;
      const found = await this.ask(chosen, before, oneLine, skipped === 0, token);
      if (token.isCancellationRequested || this.chosen !== chosen) {
        return [];
      }
      this.show(found);
      return found.text === ''
        ? []
        : [new vscode.InlineCompletionItem(found.text, new vscode.Range(position, position))];
    } catch (error) {
      if (!token.isCancellationRequested && this.chosen === chosen) {
        await this.failed(chosen, error);
      }
      return [];
    }
  }

  private async ask(
    { runId, checkpoint }: Chosen,
    before: string,
    oneLine: boolean,
    fromBeginning: boolean,
    token?: vscode.CancellationToken,
  ): Promise<CompleteResult> {
    // Looked for once: at every key it would be a walk through the PATH.
    this.python ??= this.app.interpreters.forTraining().then((found) => found?.path ?? null);
    const python = await this.python;
    const params = { before, runId, checkpoint: checkpoint ?? null, oneLine, fromBeginning, python };
    return this.app.server.request('trickster/complete', params, token);
  }

  private register(): void {
    this.registration?.dispose();
    this.registration = undefined;
    setContext('completing', this.chosen !== undefined);
    if (!this.chosen || !vscode.workspace.isTrusted) {
      this.item.hide();
      return;
    }
    // VS Code hands out what the file says, of whatever type.
    const setting = vscode.workspace.getConfiguration('trickster.completion').get<unknown>('files');
    const selector = [setting]
      .flat()
      .filter((one) => typeof one === 'string')
      .map((one): vscode.DocumentFilter => {
        if (/^[\w+-]+$/.test(one)) {
          return { language: one };
        }
        return { pattern: one.includes('/') ? one : `**/${one}` };
      });
    this.registration = vscode.languages.registerInlineCompletionItemProvider(selector, this);
    this.show(undefined);
  }

  private show(found: CompleteResult | undefined): void {
    if (!this.chosen) {
      return;
    }
    const step = found?.step ?? null;
    // Of a run that trains, the newest checkpoint is taken over: which one answers is seen at once.
    this.item.text = `$(sparkle) ${this.chosen.name}${step === null ? '' : ` · ${text.count(step)}`}`;
    this.item.backgroundColor = undefined;
    this.item.tooltip = [
      vscode.l10n.t('{0} completes what you type.', this.chosen.name),
      ...(step === null ? [] : [vscode.l10n.t('Its checkpoint: step {0}.', text.count(step))]),
      vscode.l10n.t('Click to stop.'),
    ].join('\n');
    this.item.accessibilityInformation = {
      label: vscode.l10n.t('{0} completes what you type.', this.chosen.name),
      role: 'button',
    };
    this.item.show();
  }

  /** A model that is gone is forgotten; anything else is told once, where it does not stand in the way of typing. */
  private async failed(chosen: Chosen, error: unknown): Promise<void> {
    this.pausedUntil = Date.now() + PAUSE_MS;
    this.app.log.warn(`${chosen.name} did not complete: ${errorText(error)}`);
    const code = errorCode(error);
    if (code === ErrorCode.unknownRun || code === ErrorCode.noCheckpoint) {
      await this.use(undefined);
      void vscode.window.showWarningMessage(
        vscode.l10n.t('{0} no longer completes what you type: {1}', chosen.name, errorText(error)),
      );
      return;
    }
    this.item.tooltip = errorText(error);
    this.item.backgroundColor = new vscode.ThemeColor('statusBarItem.warningBackground');
  }
}
