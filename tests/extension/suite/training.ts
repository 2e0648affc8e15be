import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as path from 'node:path';
import * as vscode from 'vscode';
import { suites } from './suites';

suites.push(() =>
  describe('Training from the extension host', () => {
    const folder = (): string => vscode.workspace.workspaceFolders?.[0]?.uri.fsPath ?? '';
    const run = (): string => path.join(folder(), 'runs/small-001');

    before(async () => {
      await vscode.workspace
        .getConfiguration('trickster.train')
        .update('show', 'nothing', vscode.ConfigurationTarget.Global);
    });

    it('trains the config it is called on, in a process of its own', async () => {
      const ended = fileAppears(path.join(run(), 'final'));
      const configUri = vscode.Uri.file(path.join(folder(), 'small.yaml')).toString();
      const click = (): Thenable<unknown> => vscode.commands.executeCommand('trickster.train', { configUri });
      // Somebody impatient clicks twice, and wants one run all the same.
      await Promise.all([click(), click()]);
      assert.deepEqual(fs.readdirSync(path.dirname(run())), [path.basename(run())]);
      const { pid } = JSON.parse(fs.readFileSync(path.join(run(), 'lock'), 'utf8') || '{}') as {
        pid?: number;
      };
      assert.notEqual(pid, process.pid);
      await ended;
      const kinds = new Set(
        fs
          .readFileSync(path.join(run(), 'events.jsonl'), 'utf8')
          .split('\n')
          .filter(Boolean)
          .map((line) => (JSON.parse(line) as { kind: string }).kind),
      );
      for (const kind of ['status', 'step', 'eval', 'sample', 'checkpoint']) {
        assert.ok(kinds.has(kind), kind);
      }
    });

    it('refuses a config with errors, with a way to them', async () => {
      const broken = vscode.Uri.file(path.join(folder(), 'refused.yaml'));
      fs.writeFileSync(broken.fsPath, 'model_config:\n  hidden_dim: -5\n');
      // The message stays open until somebody answers; that nothing is trained is what counts.
      void vscode.commands.executeCommand('trickster.train', { configUri: broken.toString() });
      const document = await vscode.workspace.openTextDocument(broken);
      await vscode.window.showTextDocument(document);
      const { problems } = await import('./config');
      await problems(broken, (found) =>
        found.some(({ severity }) => severity === vscode.DiagnosticSeverity.Error),
      );
      assert.ok(!fs.existsSync(path.join(folder(), 'runs/refused-001/events.jsonl')));
    });
    it('completes what is typed with the run it is called on', async () => {
      const configUri = vscode.Uri.file(path.join(folder(), 'repeats.yaml')).toString();
      await vscode.commands.executeCommand('trickster.train', { configUri });
      const runId = path.join(folder(), 'runs/repeats-001');
      await fileAppears(path.join(runId, 'final'));
      await vscode.commands.executeCommand('trickster.completeWithModel', { runId });
      const document = await vscode.workspace.openTextDocument({
        language: 'plaintext',
        content: 'the quick br',
      });
      const editor = await vscode.window.showTextDocument(document);
      const end = (): vscode.Position => document.positionAt(document.getText().length);
      const ask = async (): Promise<void> => {
        editor.selection = new vscode.Selection(end(), end());
        await vscode.commands.executeCommand('editor.action.inlineSuggest.trigger');
      };
      const accept = (): Thenable<unknown> =>
        vscode.commands.executeCommand('editor.action.inlineSuggest.commit');
      await ask();
      // Nothing tells when the offer is shown; before that, accepting does nothing.
      while (document.getText() === 'the quick br') {
        await accept();
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      assert.match(document.getText(), /^the quick brown fox/);
      assert.ok(!document.getText().includes('\n'), 'one line is offered');
    });
  }),
);

/** Resolves when there is something at this path. */
function fileAppears(file: string): Promise<void> {
  return new Promise((resolve) => {
    const watcher = setInterval(() => {
      if (fs.existsSync(file)) {
        clearInterval(watcher);
        resolve();
      }
    }, 50);
  });
}
