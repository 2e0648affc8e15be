import * as vscode from 'vscode';

/** The one log of the extension: "Trickster" in the Output panel. The language server's lines end up in it too. */
export function createLog(): vscode.LogOutputChannel {
  return vscode.window.createOutputChannel('Trickster', { log: true });
}

/** What went wrong, as text: the message of an Error, or the value itself. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The engine's own code for what went wrong, such as `corpus-missing`, where an error answer carries one. */
export function engineCode(error: unknown): string | undefined {
  const data = error instanceof Error ? (error as { data?: { errorCode?: unknown } | null }).data : undefined;
  return typeof data?.errorCode === 'string' ? data.errorCode : undefined;
}

/** The code of a request's error answer (see `ErrorCode` in protocol.ts); undefined for any other error. */
export function errorCode(error: unknown): number | undefined {
  const code = error instanceof Error ? (error as { code?: unknown }).code : undefined;
  return typeof code === 'number' ? code : undefined;
}
