// A finished run on disk, written with the engine's own classes: for what would take days to train.
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { PYTHON } from './server.mts';

const ROOT = path.resolve(import.meta.dirname, '../..');

/** Write a run of so many step events below `folder`/runs. */
export function recordRun(
  folder: string,
  name: string,
  steps: number,
  bytesPerToken = 1,
): { lastSample: number } {
  execFileSync(
    PYTHON,
    [
      path.join(import.meta.dirname, 'record_run.py'),
      path.join(folder, 'runs', name),
      path.join(folder, 'small.yaml'),
      String(steps),
      '0',
      String(bytesPerToken),
    ],
    {
      env: { ...process.env, PYTHONPATH: ROOT },
    },
  );
  return { lastSample: steps };
}
