import assert from 'node:assert/strict';
import * as path from 'node:path';
import * as vscode from 'vscode';
import { inPythonThatTrains, offeredServers } from '../../../extension/src/agents/mcp';
import { Interpreters } from '../../../extension/src/python/interpreters';
import { runProcess } from '../../../extension/src/python/processes';
import { problems } from './config';
import { suites } from './suites';

interface Facts {
  config: string | null;
  saved: boolean;
  problems: { code: string | null; line: number }[];
  text: string;
  dashboard: string;
  newest: { run: string; step: number; folder: string } | null;
  runs: { run: string }[];
  shown: { run: string; bestValLoss: number | null };
}

/** What a tool of ours answers an agent, through VS Code's own call. */
async function told(name: string, input: object = {}): Promise<Facts> {
  const { content } = await vscode.lm.invokeTool(name, { input, toolInvocationToken: undefined });
  const [part] = content;
  assert.ok(part instanceof vscode.LanguageModelTextPart);
  return JSON.parse(part.value) as Facts;
}

suites.push(() =>
  describe('What agents are offered in the window', () => {
    const folder = (): string => vscode.workspace.workspaceFolders?.[0]?.uri.fsPath ?? '';

    it('is the tools of package.json, each with a schema and words for the model', () => {
      const ours = vscode.lm.tools.filter(({ name }) => name.startsWith('trickster_'));
      const { languageModelTools } = (
        vscode.extensions.getExtension('trickster.trickster')?.packageJSON as {
          contributes: { languageModelTools: { name: string; modelDescription: string }[] };
        }
      ).contributes;
      assert.deepEqual(
        ours.map(({ name }) => name).sort(),
        languageModelTools.map(({ name }) => name).sort(),
      );
      ours.forEach(({ description, inputSchema }) => assert.ok(description.length > 40 && inputSchema));
    });

    it('is trickster mcp on its folders, in the Python that trains', async () => {
      const extension = vscode.extensions.getExtension('trickster.trickster');
      assert.ok(extension);
      const interpreters = new Interpreters(
        vscode.window.createOutputChannel('agents', { log: true }),
        '/nowhere',
        extension.extensionPath,
      );
      const servers = offeredServers(extension);
      if (!('registerMcpServerDefinitionProvider' in vscode.lm)) {
        assert.deepEqual(servers, []); // before 1.101, where everything else goes on working
        return;
      }
      const [offered] = servers;
      assert.ok(offered);
      const server = await inPythonThatTrains(offered, interpreters);
      interpreters.dispose();
      const { code, stderr } = await runProcess(server.command, server.args);
      assert.equal(code, 0, stderr);
      assert.equal(stderr.trim(), `trickster mcp: ${folder()}`);
    });

    it('is the config in the editor with its problems, saved or not', async () => {
      const uri = vscode.Uri.file(path.join(folder(), 'broken.yaml'));
      const editor = await vscode.window.showTextDocument(await vscode.workspace.openTextDocument(uri));
      await editor.edit((edit) => {
        const { document } = editor;
        const text = `# not saved\n${document.getText().replace('  hidden_dim', '  hiden_dim')}`;
        edit.replace(document.validateRange(new vscode.Range(0, 0, document.lineCount, 0)), text);
      });
      await problems(uri, (found) =>
        found.some(({ range }) => editor.document.getText(range) === 'hiden_dim'),
      );
      const facts = await told('trickster_openConfig');
      assert.equal(facts.config, uri.fsPath);
      assert.ok(facts.saved === !editor.document.isDirty && facts.text.startsWith('# not saved\n'));
      const slip = facts.problems.find(({ code }) => code === 'unknown-key');
      assert.ok(slip && facts.text.split('\n')[slip.line - 1]?.includes('hiden_dim'));
      await vscode.commands.executeCommand('workbench.action.files.revert');
      await vscode.commands.executeCommand('workbench.action.closeAllEditors');
      assert.equal((await told('trickster_openConfig')).config, null);
    });

    it('is the runs in the dashboard, which it can open for the person', async () => {
      const { newest } = await told('trickster_shownRuns');
      assert.ok(newest && newest.step > 0 && newest.folder.startsWith(folder()));
      const { shown } = await told('trickster_showRun', { run: newest.run });
      assert.ok(shown.run === newest.run && shown.bestValLoss !== null);
      for (;;) {
        const facts = await told('trickster_shownRuns');
        if (facts.dashboard === 'open') {
          assert.ok(facts.runs.some(({ run }) => run === newest.run));
          break;
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      await assert.rejects(told('trickster_showRun', { run: 'nobody-001' }));
      await vscode.commands.executeCommand('workbench.action.closeAllEditors');
    });
  }),
);
