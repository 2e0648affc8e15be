// What a Node process really holds: its heap after a collection, asked through its own inspector.
import { until } from './until.mts';

/** Where Node listens for inspectors once it has been asked to. */
const INSPECTOR = 'http://127.0.0.1:9229/json';

/** Megabytes of live objects, inside V8's heap and outside of it. */
export interface Held extends Record<string, number> {
  heap_mb: number;
  external_mb: number;
}

export class Inspected {
  private readonly socket: WebSocket;
  private readonly answers = new Map<number, (result: unknown) => void>();
  private last = 0;

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.onmessage = ({ data }) => {
      const { id, result } = JSON.parse(String(data)) as { id?: number; result?: unknown };
      if (id !== undefined) {
        this.answers.get(id)?.(result);
        this.answers.delete(id);
      }
    };
  }

  /** Ask a process to open its inspector, and connect to it. */
  static async open(pid: number): Promise<Inspected> {
    process.kill(pid, 'SIGUSR1');
    let url: string | undefined;
    await until('the inspector answers', async () => {
      try {
        const targets = (await (await fetch(INSPECTOR)).json()) as { webSocketDebuggerUrl: string }[];
        url = targets[0]?.webSocketDebuggerUrl;
      } catch {
        // Not listening yet.
      }
      return url !== undefined;
    });
    const socket = new WebSocket(url ?? '');
    await new Promise((resolve) => socket.addEventListener('open', resolve, { once: true }));
    const inspected = new Inspected(socket);
    const pidSeen = await inspected.evaluate<number>('process.pid');
    if (pidSeen !== pid) {
      throw new Error(`Port 9229 belongs to process ${pidSeen}, not to ${pid}.`);
    }
    await inspected.send('HeapProfiler.enable');
    return inspected;
  }

  /** What is left after everything that nobody needs is gone. */
  async held(): Promise<Held> {
    await this.send('HeapProfiler.collectGarbage');
    const { heapUsed, external } = JSON.parse(
      await this.evaluate<string>('JSON.stringify(process.memoryUsage())'),
    ) as NodeJS.MemoryUsage;
    return { heap_mb: round(heapUsed), external_mb: round(external) };
  }

  close(): void {
    this.socket.close();
  }

  private async evaluate<T>(expression: string): Promise<T> {
    const { result } = (await this.send('Runtime.evaluate', { expression })) as { result: { value: T } };
    return result.value;
  }

  private send(method: string, params: object = {}): Promise<unknown> {
    const id = ++this.last;
    return new Promise((resolve) => {
      this.answers.set(id, resolve);
      this.socket.send(JSON.stringify({ id, method, params }));
    });
  }
}

function round(bytes: number): number {
  return Math.round(bytes / 1e5) / 10;
}
