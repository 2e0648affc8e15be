import * as vscode from 'vscode';

/** Facts that `when` clauses in package.json read. Setting the same value twice costs nothing. */
const known = new Map<string, unknown>();

type ContextKey =
  | 'active'
  | 'configOpen'
  | 'runsKnown'
  | 'hasRuns'
  | 'hasLive'
  | 'hasResumable'
  | 'hasCheckpoint'
  | 'hasEnded'
  | 'completing';

export function setContext(key: ContextKey, value: boolean): void {
  if (known.get(key) !== value) {
    known.set(key, value);
    void vscode.commands.executeCommand('setContext', `trickster.${key}`, value);
  }
}
