import * as vscode from 'vscode';

/** The command of a view's rows: it has no arguments, what was clicked is what is selected. */
export function clickCommand(viewId: string): string {
  return `${viewId}.click`;
}

/**
 * A view whose rows do something when they are clicked. A row's command could carry what it is about, but VS Code forgets
 * the arguments of the old row before it draws the new one: while a training run draws its rows anew every second, some
 * clicks would end in "Actual command not found".
 */
export function clickableView<Row>(
  subscriptions: { dispose(): unknown }[],
  viewId: string,
  rows: vscode.TreeDataProvider<Row>,
  click: (row: Row) => unknown,
): vscode.TreeView<Row> {
  const view = vscode.window.createTreeView(viewId, { treeDataProvider: rows });
  const command = vscode.commands.registerCommand(clickCommand(viewId), () => {
    const [row] = view.selection;
    return row === undefined ? undefined : click(row);
  });
  subscriptions.push(view, command);
  return view;
}
