// Runs inside the extension host of a window on a folder full of other people's YAML.
import assert from 'node:assert/strict';
import childProcess from 'node:child_process';
import * as fs from 'node:fs';
import MochaModule from 'mocha';
import * as vscode from 'vscode';

const Mocha = (MochaModule as unknown as { default?: typeof MochaModule }).default ?? MochaModule;

/** Every program that this extension host has started since the suite was loaded. */
const started: string[] = [];
for (const name of ['spawn', 'exec', 'execFile', 'fork'] as const) {
  const original = childProcess[name] as (...args: unknown[]) => unknown;
  Object.assign(childProcess, {
    [name]: (...args: unknown[]): unknown => {
      started.push(args.slice(0, 2).flat().join(' '));
      return original(...args);
    },
  });
}

/** Programs below this process that are alive, from the system's own list. */
function children(): string[] {
  return fs
    .readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const [, parent] = /^\d+ \(.*\) \S (\d+)/s.exec(fs.readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? [];
        return Number(parent) === process.pid;
      } catch {
        return false; // It has ended while we looked.
      }
    })
    .map((pid) => fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' '));
}

const ours = (commands: string[]): string[] =>
  commands.filter((command) => /python|trickster_server|ripgrep|\/rg\b/i.test(command));

function suite(): void {
  const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
  const extension = vscode.extensions.getExtension('trickster.trickster');

  it('starts no process for two hundred files of other people, opened, edited and saved', async () => {
    assert.ok(folder && extension);
    const before = children();
    const files = (await vscode.workspace.fs.readDirectory(folder)).filter(([name]) => /\.ya?ml$/.test(name));
    const foreign = files.filter(([name]) => name !== 'small.yaml');
    assert.equal(foreign.length, 200);
    await vscode.window.showTextDocument(vscode.Uri.joinPath(folder, foreign[0]?.[0] ?? ''));
    // Meanwhile VS Code asks the extension for the servers that agents could start.
    const asked = vscode.commands.executeCommand('workbench.mcp.listServer');
    // One after the other: VS Code closes what no editor shows.
    for (const [name] of foreign) {
      const document = await vscode.workspace.openTextDocument(vscode.Uri.joinPath(folder, name));
      const edit = new vscode.WorkspaceEdit();
      edit.insert(document.uri, new vscode.Position(0, 0), '# looked at\n');
      assert.ok(await vscode.workspace.applyEdit(edit));
      assert.ok(await document.save());
    }
    for (const [name] of foreign.filter((_, index) => index % 20 === 0)) {
      await vscode.window.showTextDocument(vscode.Uri.joinPath(folder, name));
    }
    assert.ok(extension.isActive, 'the extension has seen them all');
    await vscode.commands.executeCommand('workbench.action.closeQuickOpen');
    await asked;
    assert.deepEqual(ours(started), []);
    assert.deepEqual(ours(children()), ours(before));
  });

  it('starts the language server for the first config', async () => {
    assert.ok(folder);
    const diagnosed = new Promise<void>((resolve) => {
      vscode.languages.onDidChangeDiagnostics(({ uris }) => {
        if (uris.some((uri) => uri.path.endsWith('small.yaml'))) {
          resolve();
        }
      });
    });
    await vscode.window.showTextDocument(vscode.Uri.joinPath(folder, 'small.yaml'));
    await diagnosed;
    assert.ok(
      ours(children()).some((command) => command.includes('trickster_server')),
      children().join('\n'),
    );
    assert.ok(ours(started).length > 0, 'what starts processes is seen');
  });
}

export function run(): Promise<void> {
  const mocha = new Mocha({ ui: 'bdd', timeout: 180_000, forbidOnly: true, forbidPending: true });
  mocha.suite.emit('pre-require', globalThis, 'suite', mocha);
  describe('A folder of other YAML', suite);
  return new Promise((resolve, reject) => {
    mocha.run((failures) => (failures > 0 ? reject(new Error(`${failures} tests failed.`)) : resolve()));
  });
}
