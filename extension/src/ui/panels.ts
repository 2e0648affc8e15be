import * as vscode from 'vscode';

/**
 * Where something opens beside the config: the second column where there is one, so that no third one is made. With no
 * text in front it opens there, as a page of the lesson in half the width would lose its text.
 */
export function besideColumn(): vscode.ViewColumn {
  if (vscode.window.tabGroups.all.length > 1) {
    return vscode.ViewColumn.Two;
  }
  return vscode.window.activeTextEditor ? vscode.ViewColumn.Beside : vscode.ViewColumn.Active;
}

/** The icon of our panels' tabs. */
export function panelIcon(extensionUri: vscode.Uri): { light: vscode.Uri; dark: vscode.Uri } {
  const media = vscode.Uri.joinPath(extensionUri, 'extension', 'media');
  return {
    light: vscode.Uri.joinPath(media, 'dashboard-light.svg'),
    dark: vscode.Uri.joinPath(media, 'dashboard-dark.svg'),
  };
}
