import type { RunInfo } from '../protocol';

export function hasCheckpoint(run: RunInfo): boolean {
  return run.checkpoints.length > 0;
}

/** A run whose model was evaluated after its first step. */
export type MeasuredRun = RunInfo & { valLoss: number; valStep: number; bestValLoss: number };

/** Whether there is a validation loss of a trained model; the one at step 0 is the untrained model's. */
export function isMeasured<Run extends RunInfo>(run: Run): run is Run & MeasuredRun {
  return run.valLoss !== null && run.bestValLoss !== null && (run.valStep ?? 0) > 0;
}

/** What a run was told to read, by its name and size. Undefined while that is not known: until the text is prepared. */
function textOf({ data }: RunInfo): string | undefined {
  const { name, train_characters: train, val_characters: held } = data;
  return typeof name === 'string' ? JSON.stringify([name, train, held]) : undefined;
}

function cutInto({ data, baselines }: RunInfo): string {
  return JSON.stringify([data['train_tokens'], data['val_tokens'], baselines['uniform']]);
}

function tokensDiffer(one: RunInfo, other: RunInfo): boolean {
  const [left, right] = [one.data['fingerprint'], other.data['fingerprint']];
  return typeof left === 'string' && typeof right === 'string' && left !== right;
}

/** Whether two runs are known to read different text: their losses say nothing about each other then. */
export function readsAnother(one: RunInfo, other: RunInfo): boolean {
  const [left, right] = [textOf(one), textOf(other)];
  if (left === undefined || right === undefined) {
    return false;
  }
  // A text of one name and size whose tokens are others in the same way has been edited.
  return left !== right || (tokensDiffer(one, other) && cutInto(one) === cutInto(other));
}

/** Whether two runs are known to read the same text. */
export function readsTheSame(one: RunInfo, other: RunInfo): boolean {
  return textOf(one) !== undefined && textOf(other) !== undefined && !readsAnother(one, other);
}

/** Whether two runs read the same text in different tokens: their losses can be compared in bits/byte. */
export function readsOtherTokens(one: RunInfo, other: RunInfo): boolean {
  return readsTheSame(one, other) && tokensDiffer(one, other);
}

/** A loss in nats/token as bits per byte of the run's text; undefined where its bytes are not known. */
export function bitsPerByte(run: RunInfo, nats: number): number | undefined {
  const { bytesPerToken } = run;
  return bytesPerToken === null ? undefined : nats / (Math.LN2 * bytesPerToken);
}

/** What was read of the text a run is trained on, one fact a row: the table that the engine has written down. */
export function textTable(data: Readonly<Record<string, unknown>>): [string, string][] {
  const { table } = (data['text'] ?? {}) as { table?: unknown };
  return Array.isArray(table)
    ? table.flatMap((row: unknown): [string, string][] =>
        Array.isArray(row) && typeof row[0] === 'string' && typeof row[1] === 'string'
          ? [[row[0], row[1]]]
          : [],
      )
    : [];
}
