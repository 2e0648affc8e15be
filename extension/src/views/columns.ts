import * as vscode from 'vscode';

/** Where something opens beside the config: the second column where there is one, so that no third one is made. */
export function besideColumn(): vscode.ViewColumn {
  return vscode.window.tabGroups.all.length > 1 ? vscode.ViewColumn.Two : vscode.ViewColumn.Beside;
}
