import type { RunInfo } from '../protocol';

/** A run whose model was measured on held-out text after it had learned something. */
export type MeasuredRun = RunInfo & { valLoss: number; valStep: number; bestValLoss: number };

/** Whether there is a held-out loss that says what was learned; the one at step 0 says what random weights are worth. */
export function isMeasured<Run extends RunInfo>(run: Run): run is Run & MeasuredRun {
  return run.valLoss !== null && run.bestValLoss !== null && (run.valStep ?? 0) > 0;
}

/**
 * What the losses of a run are about: the same text, cut into the same tokens. Undefined while that is not known, which
 * is so until the text is prepared.
 */
export function textOf({ data }: RunInfo): string | undefined {
  const { fingerprint, name, train_characters: train, val_characters: held } = data;
  if (typeof fingerprint === 'string') {
    return fingerprint;
  }
  return typeof name === 'string' ? JSON.stringify([name, train, held]) : undefined;
}

/** Whether two runs are known to read different text, or the same in different tokens: their losses say nothing then. */
export function readsAnother(one: RunInfo, other: RunInfo): boolean {
  const [left, right] = [textOf(one), textOf(other)];
  return left !== undefined && right !== undefined && left !== right;
}
