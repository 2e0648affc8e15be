import * as path from 'node:path';
import * as vscode from 'vscode';
import type {
  CloseHandlerResult,
  ErrorHandler,
  ErrorHandlerResult,
  GenericNotificationHandler,
  LanguageClient,
  LanguageClientOptions,
  ServerOptions,
} from 'vscode-languageclient/node';
import type { ClientNotifications, InitializationOptions, Requests, ServerNotifications } from '../protocol';
import { coalesce } from './coalesce';
import { errorText } from '../ui/log';
import {
  cleanEnvironment,
  describeInterpreter,
  launcherIn,
  type Interpreter,
  type Interpreters,
} from '../python/interpreters';

/** More crashes than this within the window below, and the server is left alone until somebody asks for it. */
const CRASHES_ALLOWED = 5;
const CRASH_WINDOW_MS = 3 * 60_000;

export type ServerState =
  /** Nothing has needed the server yet. */
  | { kind: 'asleep' }
  | { kind: 'starting' }
  | { kind: 'running'; interpreter: Interpreter; training: Interpreter | undefined }
  | { kind: 'noPython' }
  | { kind: 'failed'; message: string };

/** The client library, loaded with the first server and not before: it is most of the extension's code. */
type Library = typeof import('vscode-languageclient/node');

/** The error of a request that cannot be sent because no server runs. */
export class ServerUnavailable extends Error {}

/**
 * Owns the language server: finds an interpreter for it, starts it, starts it again when it dies, and carries typed
 * requests. Training runs are no children of it and do not notice any of this.
 */
export class Server implements vscode.Disposable {
  private client: LanguageClient | undefined;
  private library: Library | undefined;
  private crashes: number[] = [];
  private disposed = false;
  private trainingPython: string | undefined;
  /** What the server that runs was told about trust. */
  private toldTrusted = false;
  private readonly stateChanged = new vscode.EventEmitter<ServerState>();
  private readonly runningAgain = new vscode.EventEmitter<void>();
  private readonly handlers = new Map<string, GenericNotificationHandler>();
  private readonly disposables: { dispose(): unknown }[] = [this.stateChanged, this.runningAgain];

  state: ServerState = { kind: 'asleep' };
  readonly onDidChangeState = this.stateChanged.event;
  /** The server answers requests, for the first time or again after it was gone. */
  readonly onDidStart = this.runningAgain.event;

  /** Stop what runs and start again with the interpreter that is right now. Many calls at once become one. */
  readonly restart = coalesce(async () => {
    // Requests wait from here on.
    this.setState({ kind: 'starting' });
    await this.stop();
    await this.start();
  });

  constructor(
    private readonly extensionPath: string,
    private readonly bytecodePath: string,
    private readonly interpreters: Interpreters,
    private readonly log: vscode.LogOutputChannel,
    /** For each run: how far its events have been seen. */
    private readonly following: () => Record<string, number>,
  ) {
    this.disposables.push(
      interpreters.onDidChange(() => void this.interpreterChanged()),
      vscode.workspace.onDidGrantWorkspaceTrust(() => {
        this.tellTrust();
        this.interpreters.forget();
      }),
    );
  }

  dispose(): void {
    this.disposed = true;
    this.disposables.forEach((disposable) => void disposable.dispose());
  }

  /** Start the server where nothing has needed it so far. */
  wake(): void {
    if (this.state.kind === 'asleep') {
      void this.start();
    }
  }

  /** Resolves once the server answers; it is started where it sleeps. Rejects with `ServerUnavailable` when it cannot be started. */
  async ready(): Promise<void> {
    this.wake();
    await this.settled();
    if (this.state.kind !== 'running') {
      throw new ServerUnavailable(
        this.state.kind === 'failed'
          ? this.state.message
          : vscode.l10n.t('No Python 3.10 or newer was found.'),
      );
    }
  }

  /** Resolves when the server is not on its way up any more, however that went. */
  private async settled(): Promise<void> {
    while (this.state.kind === 'starting') {
      await new Promise<void>((resolve) => {
        const waiting = this.stateChanged.event(() => {
          waiting.dispose();
          resolve();
        });
      });
    }
  }

  /** Send a request and wait for its answer. */
  async request<M extends keyof Requests>(
    method: M,
    params: Requests[M]['params'],
    token?: vscode.CancellationToken,
  ): Promise<Requests[M]['result']> {
    await this.ready();
    if (!this.client) {
      throw new ServerUnavailable(vscode.l10n.t('The language server is not running.'));
    }
    // A token that is not there must be left out: it would be sent as a second parameter.
    return token ? this.client.sendRequest(method, params, token) : this.client.sendRequest(method, params);
  }

  /** Receive the partial results that a request streams to `token`, until disposed. */
  onPartial(token: string, handler: (part: unknown) => void): vscode.Disposable {
    if (!this.client || !this.library) {
      return new vscode.Disposable(() => undefined);
    }
    return this.client.onProgress(new this.library.ProgressType<unknown>(), token, handler);
  }

  /** Tell the server something; silently nothing when it does not run, because it is told again at its start. */
  notify<M extends keyof ClientNotifications>(method: M, params: ClientNotifications[M]): void {
    if (this.client?.isRunning()) {
      this.client.sendNotification(method, params).catch((error: unknown) => {
        this.log.warn(`${method} was not delivered: ${errorText(error)}`);
      });
    }
  }

  /** Receive a notification from whichever server runs. One handler a method. */
  on<M extends keyof ServerNotifications>(
    method: M,
    handler: (params: ServerNotifications[M]) => void,
  ): void {
    this.handlers.set(method, handler);
    this.client?.onNotification(method, handler);
  }

  /** Start the server, if an interpreter can be found. Never throws; the state says how it went. */
  async start(): Promise<void> {
    if (this.disposed) {
      return;
    }
    this.setState({ kind: 'starting' });
    const interpreter = await this.interpreters.forServer();
    if (!interpreter) {
      this.setState({ kind: 'noPython' });
      return;
    }
    const training = await this.trainingInterpreter();
    this.trainingPython = training?.path;
    const library = await import('vscode-languageclient/node');
    this.library = library;
    const client = this.createClient(library, interpreter);
    this.client = client;
    for (const [method, handler] of this.handlers) {
      client.onNotification(method, handler);
    }
    client.onDidChangeState(({ newState, oldState }) => {
      if (this.client !== client) {
        return;
      }
      if (newState === library.State.Running) {
        this.tellTrust();
        this.setState({ kind: 'running', interpreter, training });
        this.runningAgain.fire();
      } else if (
        newState === library.State.Starting &&
        oldState === library.State.Stopped &&
        this.state.kind === 'running'
      ) {
        this.setState({ kind: 'starting' });
      }
    });
    try {
      await client.start();
      this.log.info(`The language server runs in ${interpreter.path} (${describeInterpreter(interpreter)})`);
    } catch (error) {
      this.setState({
        kind: 'failed',
        message: vscode.l10n.t('The language server did not start: {0}', errorText(error)),
      });
      this.log.error(errorText(error));
    }
  }

  async stop(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    if (client) {
      try {
        await client.dispose(3000);
      } catch (error) {
        this.log.info(`The language server was already gone: ${errorText(error)}`);
      }
    }
  }

  private setState(state: ServerState): void {
    this.state = state;
    this.stateChanged.fire(state);
  }

  /** Trust may be granted while a server is on its way up, after it was told how things were. */
  private tellTrust(): void {
    if (vscode.workspace.isTrusted && !this.toldTrusted && this.client?.isRunning()) {
      this.toldTrusted = true;
      this.notify('trickster/trustGranted', {});
    }
  }

  private trainingInterpreter(): Promise<Interpreter | undefined> {
    return vscode.workspace.isTrusted ? this.interpreters.forTraining() : Promise.resolve(undefined);
  }

  /**
   * Something was chosen or installed. Only an explicit choice moves the server itself; else a server that runs well
   * stays, and is only told which interpreter trains.
   */
  private async interpreterChanged(): Promise<void> {
    if (this.state.kind === 'asleep') {
      return;
    }
    const interpreter = await this.interpreters.forServer();
    const training = await this.trainingInterpreter();
    await this.settled(); // A start that was under way has asked the same question.
    const running = this.state.kind === 'running' ? this.state : undefined;
    const chosen = interpreter?.source === 'setting' || interpreter?.source === 'pythonExtension';
    const usable =
      running && (await this.interpreters.probe(running.interpreter.path, running.interpreter.source));
    if (!interpreter && !running) {
      return; // As before: there is none.
    }
    if (!running || !usable || (chosen && interpreter.path !== running.interpreter.path)) {
      await this.restart();
    } else if (training?.path !== running.training?.path) {
      this.trainingPython = training?.path;
      this.notify('trickster/interpreterChanged', { python: training?.path ?? null });
      this.setState({ ...running, training });
    }
  }

  private createClient(library: Library, interpreter: Interpreter): LanguageClient {
    const serverOptions: ServerOptions = {
      command: interpreter.path,
      // -S: no site-packages of that Python. What the server needs comes with the extension, so nothing installed
      // there can break it.
      args: ['-S', '-u', launcherIn(this.extensionPath), 'trickster_server'],
      options: {
        cwd: path.join(this.extensionPath, 'server'),
        env: cleanEnvironment({
          PYTHONPATH: [
            path.join(this.extensionPath, 'server'),
            this.extensionPath,
            path.join(this.extensionPath, 'dist', 'libs'),
          ].join(path.delimiter),
          // Compiled files halve the time to start; they do not belong into the extension's own folder.
          PYTHONPYCACHEPREFIX: this.bytecodePath,
          PYTHONUTF8: '1',
        }),
      },
    };
    const clientOptions: LanguageClientOptions = {
      documentSelector: [
        { scheme: 'file', language: 'yaml' },
        { scheme: 'untitled', language: 'yaml' },
      ],
      outputChannel: this.log,
      errorHandler: this.errorHandler(library),
      markdown: { supportHtml: false },
      initializationOptions: (): InitializationOptions => {
        this.toldTrusted = vscode.workspace.isTrusted;
        return {
          trusted: this.toldTrusted,
          python: this.trainingPython ?? null,
          clientCommands: true,
          notifications: true,
          images: true,
          calibrate: vscode.workspace.getConfiguration('trickster').get<boolean>('calibrate', true),
          following: this.following(),
        };
      },
    };
    return new library.LanguageClient('trickster', 'Trickster', serverOptions, clientOptions);
  }

  private errorHandler({ CloseAction, ErrorAction }: Library): ErrorHandler {
    return {
      error: (): ErrorHandlerResult => ({ action: ErrorAction.Continue, handled: true }),
      closed: (): CloseHandlerResult => {
        const now = Date.now();
        this.crashes = [...this.crashes.filter((time) => now - time < CRASH_WINDOW_MS), now];
        if (this.crashes.length <= CRASHES_ALLOWED) {
          this.log.warn('The language server ended unexpectedly and is started again. Training goes on.');
          return { action: CloseAction.Restart, handled: true };
        }
        this.crashes = [];
        const message = vscode.l10n.t('The language server keeps stopping. Runs continue to train.');
        this.setState({ kind: 'failed', message });
        void vscode.window
          .showErrorMessage(message, vscode.l10n.t('Restart Server'), vscode.l10n.t('Show Logs'))
          .then((choice) => {
            if (choice === vscode.l10n.t('Restart Server')) {
              void this.restart();
            } else if (choice === vscode.l10n.t('Show Logs')) {
              this.log.show();
            }
          });
        return { action: CloseAction.DoNotRestart, handled: true };
      },
    };
  }
}
