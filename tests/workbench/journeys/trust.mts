import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { sampleFolder, smallConfig } from '../folders.mts';
import { journey } from '../journey.mts';
import { until } from '../until.mts';

const folder = sampleFolder('trust');
const marker = path.join(folder, 'was-run');
const imported = path.join(folder, 'was-imported');
// What a hostile folder would bring: an interpreter and modules of its own.
fs.writeFileSync(path.join(folder, 'small.yaml'), smallConfig().replace('hidden_dim', 'hiden_dim'));
fs.writeFileSync(path.join(folder, 'python'), `#!/bin/sh\ntouch '${marker}'\n`, { mode: 0o755 });
for (const name of ['yaml', 'trickster_server', 'trickster_engine', 'pygls', 'json']) {
  fs.writeFileSync(path.join(folder, `${name}.py`), `open(${JSON.stringify(imported)}, 'w').close()\n`);
}
fs.mkdirSync(path.join(folder, '.vscode'));
fs.writeFileSync(
  path.join(folder, '.vscode/settings.json'),
  JSON.stringify({ 'trickster.interpreter': path.join(folder, 'python') }),
);

journey(
  'Restricted Mode',
  {
    folder: () => folder,
    trust: true,
    // The person's own setting, and it leads into the folder.
    machineSettings: { 'trickster.interpreter': '${workspaceFolder}/python' },
    settings: { 'workbench.colorTheme': 'Light Modern', 'security.workspace.trust.startupPrompt': 'never' },
  },
  (at) => {
    it('checks and explains', async () => {
      const { workbench } = at;
      await workbench.page.locator('.statusbar-item').filter({ hasText: 'Restricted Mode' }).waitFor();
      await workbench.openFile('small.yaml');
      await workbench.squiggles().first().waitFor();
      await workbench
        .editor()
        .locator('.view-line span span')
        .filter({ hasText: /^num_layers$/ })
        .first()
        .hover();
      await workbench.page.locator('.monaco-hover:visible').filter({ hasText: 'block' }).first().waitFor();
      await workbench.page.keyboard.press('Escape');
    });

    it('offers nothing that would start a process', async () => {
      const { workbench } = at;
      await workbench.openSidebar();
      await workbench.view('Runs').filter({ hasText: 'Restricted Mode' }).waitFor();
      await workbench.shot('trust-1-restricted-light');
      await workbench.openPalette('Trickster: ');
      await workbench.rows().filter({ hasText: 'Trickster: Show Logs' }).waitFor();
      const offered = await workbench.rows().allInnerTexts();
      for (const title of [
        'Trickster: Train',
        'Trickster: Prepare Dataset',
        'Trickster: Set Up Environment',
      ]) {
        assert.ok(
          !offered.some((row) => row.replaceAll('\u00a0', ' ').startsWith(title)),
          `${title} is offered`,
        );
      }
      await workbench.page.keyboard.press('Escape');
      assert.equal(
        await workbench.page.locator('.editor-actions .action-label[aria-label^="Train"]').count(),
        0,
      );
    });

    it('ran nothing of the folder', () => {
      assert.ok(!fs.existsSync(marker) && !fs.existsSync(imported));
    });

    it('offers training once the folder is trusted', async () => {
      const { workbench } = at;
      assert.ok(!fs.existsSync(marker));
      await workbench.command('Workspaces: Manage Workspace Trust');
      await workbench.page
        .locator('.workspace-trust-editor .monaco-button')
        .filter({ hasText: 'Trust' })
        .first()
        .click();
      await workbench
        .view('Runs')
        .locator('.monaco-button')
        .filter({ hasText: /^Train$/ })
        .waitFor();
      await workbench.openPalette('Trickster: Train');
      await workbench.rows().filter({ hasText: 'Trickster: Train' }).first().waitFor();
      await workbench.page.keyboard.press('Escape');
      await until('the interpreter of the trusted folder was tried', () => fs.existsSync(marker));
      await workbench.toast('is no Python that starts').waitFor();
      assert.ok(!fs.existsSync(imported), 'Python imports nothing of the folder even then');
    });
  },
);
