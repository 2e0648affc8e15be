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
    restricted: true,
    // The person's own setting, and it leads into the folder.
    machineSettings: { 'trickster.interpreter': '${workspaceFolder}/python' },
    settings: { 'workbench.colorTheme': 'Light Modern' },
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

    it('keeps its commands where they are, and says in one line what they ask', async () => {
      const { workbench } = at;
      await workbench.openSidebar();
      await workbench
        .view('Lesson')
        .locator('.message')
        .filter({ hasText: 'asks for trust first' })
        .waitFor();
      await workbench.view('Runs').locator('.monaco-button').filter({ hasText: 'New Config' }).waitFor();
      await workbench.shot('trust-1-restricted-light');
      for (const title of [
        'Train',
        'Prepare Dataset',
        'Inspect Model',
        'Check Hardware',
        'Set Up Environment',
      ]) {
        await workbench.openPalette(`Trickster: ${title}`);
        await workbench
          .rows()
          .filter({ hasText: `Trickster: ${title}` })
          .first()
          .waitFor();
        await workbench.page.keyboard.press('Escape');
      }
      await workbench.page.locator('.editor-actions .action-label[aria-label^="Train"]').waitFor();
    });

    it('asks for trust in one dialog, and starts nothing when the answer is no', async () => {
      const { workbench } = at;
      await workbench.command('Trickster: Train');
      await workbench.dialogButton('Trust Folder & Continue').waitFor();
      await workbench.shot('trust-2-dialog-light');
      await workbench.dialogButton('Cancel').click();
      await workbench.dialogButton('Cancel').waitFor({ state: 'hidden' });
      await workbench.page.locator('.editor-actions .action-label[aria-label^="Train"]').click();
      await workbench.dialogButton('Cancel').click();
      await workbench.restrictedMode().waitFor();
      assert.ok(!fs.existsSync(path.join(folder, 'runs')));
    });

    it('ran nothing of the folder', () => {
      assert.ok(!fs.existsSync(marker) && !fs.existsSync(imported));
    });

    it('offers what was wanted when the folder is trusted later, on the page about trust', async () => {
      const { workbench } = at;
      await workbench.command('Trickster: Check Hardware');
      await workbench.dialogButton('Manage').click();
      const page = workbench.page.locator('.workspace-trust-editor');
      await page.waitFor();
      assert.ok(!fs.existsSync(marker));
      await page.locator('.monaco-button').filter({ hasText: 'Trust' }).first().click();
      await workbench.restrictedMode().waitFor({ state: 'hidden' });
      await workbench.closeFront();
      await workbench.toastButton('is trusted now', 'Check Hardware').click();
      // It goes on from here as in any folder: no Python of this machine that is on the PATH has PyTorch.
      await workbench.toast('Training needs').waitFor();
      await until('the interpreter of the trusted folder was tried', () => fs.existsSync(marker));
      await workbench.toast('is no Python that starts').waitFor();
      assert.ok(!fs.existsSync(imported), 'Python imports nothing of the folder even then');
    });
  },
);

const whole = sampleFolder('trust-continue', { steps: 40, evaluateEvery: 20, saveEvery: 20 });
journey('A config in Restricted Mode', { folder: () => whole, restricted: true }, (at) => {
  it('is trained by the lens above it, once the folder is trusted in the dialog', async () => {
    const { workbench } = at;
    await workbench.openFile('small.yaml');
    await workbench.editor().locator('.codelens-decoration a').filter({ hasText: 'Train' }).click();
    await workbench.dialogButton('Trust Folder & Continue').click();
    await workbench.toast('Training small-001').waitFor();
    await workbench.status().filter({ hasText: 'small-001 finished' }).waitFor({ timeout: 120_000 });
  });
});
