import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { isConfig } from '../../../extension/src/ui/configs';
import { suites } from './suites';

function inFolder(name: string): vscode.Uri {
  const [folder] = vscode.workspace.workspaceFolders ?? [];
  assert.ok(folder);
  return vscode.Uri.joinPath(folder.uri, name);
}

/** The problems of a file, once there are as many as wanted. */
export async function problems(
  uri: vscode.Uri,
  enough: (found: vscode.Diagnostic[]) => boolean,
): Promise<vscode.Diagnostic[]> {
  for (;;) {
    const found = vscode.languages.getDiagnostics(uri);
    if (enough(found)) {
      return found;
    }
    await new Promise<void>((resolve) => {
      const waiting = vscode.languages.onDidChangeDiagnostics(() => {
        waiting.dispose();
        resolve();
      });
    });
  }
}

suites.push(() =>
  describe('A config in the editor', () => {
    it('is told from other YAML', async () => {
      const config = await vscode.workspace.openTextDocument(inFolder('small.yaml'));
      assert.ok(isConfig(config));
      const other = await vscode.workspace.openTextDocument({ language: 'yaml', content: 'a: 1\n' });
      assert.ok(!isConfig(other));
    });

    it('has its mistake marked exactly, and mended by a quick fix', async () => {
      const uri = inFolder('broken.yaml');
      const document = await vscode.workspace.openTextDocument(uri);
      await vscode.window.showTextDocument(document);
      const [problem] = await problems(uri, (found) => found.length > 0);
      assert.ok(problem);
      assert.equal(document.getText(problem.range), 'hiden_dim');
      const actions = await vscode.commands.executeCommand<vscode.CodeAction[]>(
        'vscode.executeCodeActionProvider',
        uri,
        problem.range,
        vscode.CodeActionKind.QuickFix.value,
      );
      const fix = actions.find(({ edit }) => edit !== undefined);
      assert.ok(fix?.edit, 'a fix with an edit');
      await vscode.workspace.applyEdit(fix.edit);
      assert.match(document.getText(), /^ {2}hidden_dim: 48$/m);
      await problems(uri, (found) => found.length === 0);
    });

    it('answers a hover', async () => {
      const uri = inFolder('small.yaml');
      const document = await vscode.workspace.openTextDocument(uri);
      const at = document.positionAt(document.getText().indexOf('num_layers') + 2);
      const hovers = await vscode.commands.executeCommand<vscode.Hover[]>(
        'vscode.executeHoverProvider',
        uri,
        at,
      );
      const words = hovers.flatMap(({ contents }) =>
        contents.map((content) => (content as vscode.MarkdownString).value),
      );
      assert.match(words.join('\n'), /parameters/);
    });

    it('carries lenses that call the commands of the extension', async () => {
      const lenses = await vscode.commands.executeCommand<vscode.CodeLens[]>(
        'vscode.executeCodeLensProvider',
        inFolder('small.yaml'),
        20,
      );
      const called = lenses.map(({ command }) => command?.command ?? '');
      assert.ok(called.includes('trickster.train'), called.join());
      const known = new Set(await vscode.commands.getCommands(true));
      called.filter(Boolean).forEach((command) => assert.ok(known.has(command), command));
    });
  }),
);
