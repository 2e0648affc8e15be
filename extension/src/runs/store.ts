import * as path from 'node:path';
import * as vscode from 'vscode';
import { errorText } from '../ui/log';
import type { Server } from '../server/server';
import type { EventParams, RunEvent, RunInfo, RunProgress } from '../protocol';

/** Nobody reads faster than this. */
const PROGRESS_INTERVAL_MS = 1000;
/** Every renewal of words takes the processor from the training that they tell of, where it trains on the processor. */
const PROGRESS_INTERVAL_ON_CPU_MS = 5000;

/** Takes events, and the offsets in the run's event file before and after them. */
type TakePage = (events: readonly RunEvent[], after: number) => void;

/**
 * The runs of this window as the server tells them, and the stream of their events with nothing lost and nothing twice.
 * Keeps one summary a run, never its events: those stay in the run directory and are asked for where they are shown.
 */
export class RunStore implements vscode.Disposable {
  private readonly byId = new Map<string, RunInfo>();
  /** The newest that the server has said of runs that go on. */
  private readonly progress = new Map<string, RunProgress>();
  private readonly heard = new Map<string, number>();
  private readonly runsChanged = new vscode.EventEmitter<void>();
  private readonly eventsCame = new vscode.EventEmitter<EventParams>();
  private readonly progressed = new vscode.EventEmitter<ReadonlySet<string>>();
  /** A run is gone, or another has come under its id: a deleted run's number is given again. */
  private readonly gone = new vscode.EventEmitter<string>();
  private progressing = new Set<string>();
  private progressTimer: NodeJS.Timeout | undefined;

  /** A run has come, gone, or changed in a way that a list shows. */
  readonly onDidChange = this.runsChanged.event;
  /** Events of a run as they come. */
  readonly onEvents = this.eventsCame.event;
  /** These runs have gone on: every few seconds at most, for what shows a run in words. */
  readonly onProgress = this.progressed.event;

  /** The first list has arrived. */
  loaded = false;

  constructor(
    private readonly server: Server,
    log: vscode.LogOutputChannel,
  ) {
    server.on('trickster/runsChanged', ({ runs }) => this.take(runs));
    server.on('trickster/event', (message) => this.receive(message));
    server.onDidStart(() => {
      this.refresh().catch((error: unknown) =>
        log.error(`The runs could not be listed: ${errorText(error)}`),
      );
    });
  }

  dispose(): void {
    this.runsChanged.dispose();
    this.eventsCame.dispose();
    this.progressed.dispose();
    this.gone.dispose();
    clearTimeout(this.progressTimer);
  }

  /** Newest first. */
  all(): RunInfo[] {
    return [...this.byId.values()].sort((a, b) => b.created - a.created);
  }

  get(runId: string | undefined): RunInfo | undefined {
    return runId === undefined ? undefined : this.byId.get(runId);
  }

  /** The name of a run, also of one whose first events came before the list that has it. */
  nameOf(runId: string): string {
    return this.byId.get(runId)?.name ?? path.basename(runId);
  }

  /** What has come of a run since the list; undefined where nothing has. */
  progressOf(runId: string): RunProgress | undefined {
    return this.progress.get(runId);
  }

  live(): RunInfo[] {
    return this.all().filter((run) => run.live);
  }

  /** How far each live run has been heard, for a server that starts again. */
  following(): Record<string, number> {
    return Object.fromEntries(this.heard);
  }

  async refresh(): Promise<void> {
    const { runs } = await this.server.request('trickster/listRuns', {});
    this.take(runs);
  }

  /**
   * The whole story of a run: first what is in its file, then what comes, each event once and in order, until disposed.
   * A page with `after` 0 begins it: where another run takes the id, an empty one, and then the story of that run.
   */
  follow(runId: string, page: TakePage): vscode.Disposable {
    let story = this.followOne(runId, page);
    const another = this.gone.event((id) => {
      if (id === runId) {
        story.dispose();
        page([], 0);
        story = this.followOne(runId, page);
      }
    });
    return new vscode.Disposable(() => {
      another.dispose();
      story.dispose();
    });
  }

  private followOne(runId: string, page: TakePage): vscode.Disposable {
    const ended = new vscode.CancellationTokenSource();
    let position = 0;
    let reading = false;
    let more = true;
    const read = async (): Promise<void> => {
      if (reading) {
        more = true;
        return;
      }
      reading = true;
      try {
        do {
          more = false;
          const after = position;
          const answer = await this.server.request('trickster/runEvents', { runId, after }, ended.token);
          if (ended.token.isCancellationRequested) {
            return;
          }
          position = answer.next;
          page(answer.events, after);
          more = answer.more || more;
        } while (more);
      } catch {
        // The server is away; it is read on when it is back.
      } finally {
        reading = false;
      }
    };
    const subscriptions = [
      this.onEvents((message) => {
        if (message.runId !== runId || message.next <= position) {
          return;
        }
        if (!reading && message.after === position) {
          position = message.next;
          page(message.events, message.after);
        } else {
          void read();
        }
      }),
      // Of a run that was over before the server followed it, only the list tells.
      this.onDidChange(() => {
        if ((this.byId.get(runId)?.next ?? 0) > position) {
          void read();
        }
      }),
      this.server.onDidStart(() => void read()),
      new vscode.Disposable(() => {
        ended.cancel();
        ended.dispose();
      }),
    ];
    void read();
    return vscode.Disposable.from(...subscriptions);
  }

  private take(runs: readonly RunInfo[]): void {
    const created = new Map(runs.map((run) => [run.runId, run.created]));
    for (const [runId, before] of this.byId) {
      if (created.get(runId) !== before.created) {
        this.byId.delete(runId);
        this.progress.delete(runId);
        this.heard.delete(runId);
        this.gone.fire(runId);
      }
    }
    for (const run of runs) {
      // Events may have told more than a list that was on its way at the same time.
      const news = this.progress.get(run.runId);
      this.byId.set(run.runId, news && news.next > run.next ? { ...run, ...news } : run);
      if (run.live && !this.heard.has(run.runId)) {
        this.heard.set(run.runId, run.next);
      }
    }
    this.loaded = true;
    this.runsChanged.fire();
  }

  private receive(message: EventParams): void {
    const { runId, next, events, run: news } = message;
    this.heard.set(runId, next);
    this.progress.set(runId, news);
    const run = this.byId.get(runId);
    if (run) {
      Object.assign(run, news);
    }
    if (events.length > 0) {
      this.eventsCame.fire(message);
      if (events.some((event) => event.kind !== 'step')) {
        this.runsChanged.fire();
      } else {
        this.progressing.add(runId);
        if (this.progressTimer === undefined) {
          this.tellProgress();
        }
      }
    }
  }

  private tellProgress(): void {
    this.progressTimer = undefined;
    if (this.progressing.size > 0) {
      const runs = this.progressing;
      this.progressing = new Set();
      const onCpu = this.live().some(({ device }) => device?.startsWith('cpu'));
      this.progressTimer = setTimeout(
        () => this.tellProgress(),
        onCpu ? PROGRESS_INTERVAL_ON_CPU_MS : PROGRESS_INTERVAL_MS,
      );
      this.progressed.fire(runs);
    }
  }
}
