import type * as vscode from 'vscode';
import { setContext } from '../ui/context';
import { hasCheckpoint } from './measures';
import type { RunStore } from './store';

/** Keep the context keys about runs true, so that menus and the palette offer what can be done. */
export function publishRunContext(runs: RunStore): vscode.Disposable {
  const publish = (): void => {
    const all = runs.all();
    setContext('runsKnown', runs.loaded);
    setContext('hasRuns', all.length > 0);
    setContext(
      'hasLive',
      all.some((run) => run.live),
    );
    setContext(
      'hasResumable',
      all.some((run) => run.resumable),
    );
    setContext('hasCheckpoint', all.some(hasCheckpoint));
    setContext(
      'hasEnded',
      all.some((run) => !run.live),
    );
  };
  return runs.onDidChange(publish);
}
