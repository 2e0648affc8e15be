import { spawn } from 'node:child_process';
import type * as vscode from 'vscode';

interface ProcessResult {
  /** Exit code; null when the process was ended by a signal. */
  code: number | null;
  stdout: string;
  stderr: string;
}

interface ProcessOptions {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** Ends the process and everything that it started. */
  token?: vscode.CancellationToken;
  /** Called with every line of either stream, as it comes. */
  onLine?: (line: string) => void;
  timeoutMs?: number;
}

/** Raised when the person cancelled. */
export class Cancelled extends Error {
  constructor() {
    super('Cancelled.');
  }
}

/**
 * Run a program to its end and collect what it prints. Rejects when the program cannot be started, when it takes longer
 * than `timeoutMs`, or with `Cancelled`; a non-zero exit code is a result, not an error.
 */
export function runProcess(
  command: string,
  args: readonly string[],
  options: ProcessOptions = {},
): Promise<ProcessResult> {
  return new Promise((resolve, reject) => {
    // A group of its own on POSIX, so that ending it takes the children (pip's, uv's) along.
    const grouped = process.platform !== 'win32';
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: options.env ?? process.env,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: grouped,
      windowsHide: true,
    });
    const end = (): void => {
      try {
        if (grouped && child.pid !== undefined) {
          process.kill(-child.pid, 'SIGKILL');
        } else {
          child.kill();
        }
      } catch {
        // It has ended by itself in the meantime.
      }
    };
    let failure: Error | undefined;
    const collected = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      let rest = '';
      child[name].setEncoding('utf8');
      child[name].on('data', (text: string) => {
        collected[name] += text;
        const lines = (rest + text).split(/\r?\n|\r/);
        rest = lines.pop() ?? '';
        lines.forEach((line) => options.onLine?.(line));
      });
      child[name].on('end', () => {
        if (rest) {
          options.onLine?.(rest);
        }
      });
    }
    const cancelling = options.token?.onCancellationRequested(() => {
      failure = new Cancelled();
      end();
    });
    const timer =
      options.timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            failure = new Error(`${command} did not answer within ${options.timeoutMs ?? 0} ms.`);
            end();
          }, options.timeoutMs);
    const cleanUp = (): void => {
      cancelling?.dispose();
      clearTimeout(timer);
    };
    child.on('error', (error) => {
      cleanUp();
      reject(error);
    });
    child.on('close', (code) => {
      cleanUp();
      if (failure) {
        reject(failure);
      } else {
        resolve({ code, ...collected });
      }
    });
    if (options.token?.isCancellationRequested) {
      failure = new Cancelled();
      end();
    }
  });
}
