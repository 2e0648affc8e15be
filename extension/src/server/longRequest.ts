import { randomUUID } from 'node:crypto';
import * as vscode from 'vscode';
import type { App } from '../app';
import type { Requests } from '../protocol';

/** The requests that can take longer than a moment and report how far they are. */
type LongRequest = {
  [M in keyof Requests]: Requests[M]['params'] extends { workDoneToken?: string | number | null } ? M : never;
}[keyof Requests];

interface WorkDone {
  kind: 'begin' | 'report' | 'end';
  message?: string;
  title?: string;
  percentage?: number;
}

/** Send a long request under a notification with progress and a Cancel button. Undefined when it was cancelled. */
export async function withServerProgress<M extends LongRequest>(
  app: App,
  title: string,
  method: M,
  params: Requests[M]['params'],
): Promise<Requests[M]['result'] | undefined> {
  return vscode.window.withProgress(
    { location: vscode.ProgressLocation.Notification, title, cancellable: true },
    async (progress, token) => {
      const workDoneToken = `trickster-${randomUUID()}`;
      let reached = 0;
      await app.server.ready();
      const listening = app.server.onPartial(workDoneToken, (part) => {
        const { message, percentage } = part as WorkDone;
        const increment = percentage === undefined ? 0 : Math.max(0, percentage - reached);
        reached += increment;
        progress.report({ increment, ...(message === undefined ? {} : { message }) });
      });
      try {
        return await app.server.request(method, { ...params, workDoneToken }, token);
      } catch (error) {
        if (token.isCancellationRequested) {
          return undefined;
        }
        throw error;
      } finally {
        listening.dispose();
      }
    },
  );
}
