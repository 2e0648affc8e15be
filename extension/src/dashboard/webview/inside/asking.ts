import type { Requests } from '../../../protocol';
import type { InsideMethod, InsideParamsOf, ToDashboard } from '../../contract';
import { send } from '../host';

type Answer = Extract<ToDashboard, { type: 'inside' }>;

const waiting = new Map<number, (answer: Answer) => void>();
/** A page that was hidden and made again does not take the answers to the one before for its own. */
let nextId = Date.now();

/** Ask the server about a model. Rejects with what people should read. */
export function ask<M extends InsideMethod>(
  method: M,
  params: InsideParamsOf<M>,
): Promise<Requests[M]['result']> {
  const id = nextId++;
  return new Promise((resolve, reject) => {
    waiting.set(id, ({ result, error }) => {
      if (result === undefined) {
        reject(new Error(error ?? 'The server did not answer.'));
      } else {
        resolve(result);
      }
    });
    send({ type: 'inside', id, method, params });
  });
}

/** An answer has come. */
export function answered(answer: Answer): void {
  const take = waiting.get(answer.id);
  waiting.delete(answer.id);
  take?.(answer);
}

/** The words of an error. */
export function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
