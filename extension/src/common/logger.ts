import * as vscode from 'vscode';

/** The one log of the extension: "Trickster" in the Output panel. The language server's lines end up in it too. */
export function createLog(): vscode.LogOutputChannel {
  return vscode.window.createOutputChannel('Trickster', { log: true });
}

/** What went wrong, as text: the message of an Error, or the value itself. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The code of a request's error answer (see `ErrorCode` in protocol.ts); undefined for any other error. */
export function errorCode(error: unknown): number | undefined {
  const code = error instanceof Error ? (error as { code?: unknown }).code : undefined;
  return typeof code === 'number' ? code : undefined;
}
