import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import type { Locator } from 'playwright-core';
import { sampleFolder } from '../folders.mts';
import { extensionLog, journey } from '../journey.mts';
import { until } from '../until.mts';
import { PYTHON, scratch } from '../server.mts';

/** A folder of programs like the machine's own, without any Python and without uv. */
function pathWithoutPython(): string {
  const folder = scratch('path');
  for (const source of ['/usr/local/bin', '/usr/bin', '/bin', '/usr/sbin', '/sbin']) {
    for (const name of fs.existsSync(source) ? fs.readdirSync(source) : []) {
      const link = path.join(folder, name);
      if (!/^(python|pypy|uv|conda|pip)/.test(name) && !fs.existsSync(link)) {
        fs.symlinkSync(path.join(source, name), link);
      }
    }
  }
  return folder;
}

/** VS Code asks the login shell for the PATH; this one answers with the PATH it was given. */
function plainShell(): string {
  const shell = path.join(scratch('shell'), 'bash');
  fs.writeFileSync(shell, '#!/bin/sh\nfor word; do last=$word; done\nexec /bin/sh -c "$last"\n', {
    mode: 0o755,
  });
  return shell;
}

const bare = pathWithoutPython();
const home = scratch('home');
const shell = plainShell();

/** A Python that has nothing but itself. */
function emptyPython(): string {
  const folder = path.join(scratch('python'), 'bare');
  execFileSync(PYTHON, ['-m', 'venv', '--without-pip', folder]);
  return path.join(folder, 'bin');
}

const withoutPython = sampleFolder('no-python');
journey(
  'No Python',
  {
    folder: () => withoutPython,
    expected: /^Trickster needs Python 3.10 or newer/,
    machineSettings: { 'trickster.interpreter': '' },
    env: { PATH: bare, HOME: home, SHELL: shell },
    settings: { 'workbench.colorTheme': 'Light Modern' },
  },
  (at) => {
    it('says what to install, once', async () => {
      const { workbench } = at;
      await workbench.openFile('small.yaml');
      await workbench.toast('needs Python 3.10 or newer').waitFor();
      assert.deepEqual(
        (await workbench.toast('needs Python 3.10').locator('.monaco-button').allInnerTexts()).filter(
          Boolean,
        ),
        ['Get Python', 'Select Interpreter', 'Try Again'],
      );
      await workbench.shot('set-up-1-no-python-light');
      await workbench.command('Trickster: Train');
      assert.equal(await workbench.page.locator('.notification-toast').count(), 1);
    });

    it('does not say that nothing was trained, which it cannot know', async () => {
      const { workbench } = at;
      await workbench.command('Trickster: Open Dashboard');
      await workbench.dashboard().locator('p').filter({ hasText: 'Looking for runs…' }).waitFor();
      await workbench.tab('small.yaml').click();
    });

    it('finds a Python that was installed meanwhile', async () => {
      const { workbench } = at;
      const base = execFileSync(PYTHON, ['-c', 'import sys; print(sys._base_executable)'], {
        encoding: 'utf8',
      }).trim();
      fs.symlinkSync(base, path.join(bare, 'python3'));
      await workbench.toastButton('needs Python 3.10', 'Try Again').click();
      await workbench.editor().locator('.codelens-decoration a').filter({ hasText: 'Train' }).waitFor();
      await workbench.dashboard().locator('h1').filter({ hasText: 'No runs yet' }).waitFor();
      fs.rmSync(path.join(bare, 'python3'));
    });
  },
);

const withoutTorch = sampleFolder('no-torch', { steps: 60, evaluateEvery: 30 });
const python = emptyPython();
journey(
  'No PyTorch',
  {
    folder: () => withoutTorch,
    machineSettings: { 'trickster.interpreter': '' },
    env: { PATH: `${python}:${bare}`, HOME: home, SHELL: shell },
    settings: { 'workbench.colorTheme': 'Dark Modern' },
  },
  (at) => {
    const environment = (): string =>
      path.join(at.server.userFolder, 'User/globalStorage/trickster.trickster/environment');

    it('checks configs all the same', async () => {
      const { workbench } = at;
      await workbench.openFile('small.yaml');
      await workbench.editor().locator('.codelens-decoration a').filter({ hasText: 'Train' }).waitFor();
      await workbench.openSidebar();
      await workbench.lessonStep('2. Set-up').filter({ hasText: 'no PyTorch' }).waitFor();
    });

    it('offers to set up an environment', async () => {
      const { workbench } = at;
      await workbench.command('Trickster: Train');
      await workbench.toast('Training needs PyTorch').waitFor();
      await workbench.shot('set-up-2-offer-dark');
    });

    it('leaves nothing behind when that is cancelled', async () => {
      const { workbench } = at;
      await workbench.toastButton('Training needs PyTorch', 'Set Up Environment').click();
      await workbench.toast('Setting up an environment').waitFor();
      await until('the virtual environment is there', () =>
        fs.existsSync(path.join(environment(), 'bin/python')),
      );
      await workbench.toastButton('Setting up an environment', 'Cancel').click();
      await workbench.toast('Nothing has changed').waitFor();
      assert.ok(!fs.existsSync(environment()));
    });

    it('makes the environment and goes on to train', async function () {
      this.timeout(600_000);
      const { workbench } = at;
      await workbench.command('Notifications: Clear All Notifications');
      await workbench.command('Trickster: Train');
      await workbench.toastButton('Training needs PyTorch', 'Set Up Environment').click();
      await workbench.toast('Setting up an environment').waitFor();
      await until('PyTorch is being installed', () => /torch/.test(extensionLog(at.server)));
      await workbench.shot('set-up-3-progress-dark');
      await workbench.toast('Training small-001').waitFor({ timeout: 540_000 });
      await workbench.lessonStep('2. Set-up').filter({ hasText: 'PyTorch 2' }).waitFor();
      await workbench.runRow('small-001').filter({ hasText: 'finished' }).waitFor({ timeout: 120_000 });
    });

    it('keeps it when making it anew is cancelled', async () => {
      const { workbench } = at;
      await workbench.command('Notifications: Clear All Notifications');
      await workbench.command('Trickster: Set Up Environment');
      await workbench.toastButton('environment already exists', 'Recreate').click();
      await workbench.toast('Setting up an environment').waitFor();
      await until('the old one is set aside', () => fs.existsSync(`${environment()}.before`));
      await workbench.toastButton('Setting up an environment', 'Cancel').click();
      await workbench.toast('Nothing has changed').waitFor();
      assert.ok(!fs.existsSync(`${environment()}.before`));
      execFileSync(path.join(environment(), 'bin/python'), ['-c', 'import torch']);
    });
  },
);

const restricted = sampleFolder('restricted');
const marker = path.join(restricted, 'was-run');
// What a hostile folder would bring: an interpreter, and modules that an installer would import.
fs.writeFileSync(path.join(restricted, 'python'), `#!/bin/sh\ntouch '${marker}'\n`, { mode: 0o755 });
for (const name of ['venv', 'ensurepip', 'pip', 'json', 'torch']) {
  fs.writeFileSync(path.join(restricted, `${name}.py`), `open(${JSON.stringify(marker)}, 'w').close()\n`);
}
fs.mkdirSync(path.join(restricted, '.vscode'));
fs.writeFileSync(
  path.join(restricted, '.vscode/settings.json'),
  JSON.stringify({ 'trickster.interpreter': path.join(restricted, 'python') }),
);
journey(
  'No PyTorch, in Restricted Mode',
  {
    folder: () => restricted,
    restricted: true,
    machineSettings: { 'trickster.interpreter': '' },
    env: { PATH: `${python}:${bare}`, HOME: home, SHELL: shell },
    settings: { 'workbench.colorTheme': 'Dark Modern' },
  },
  (at) => {
    const link = (words: string): Locator =>
      at.workbench.dashboard().locator('a[href^="command:"]').filter({ hasText: words });

    it('makes an environment from the page of the lesson', async function () {
      this.timeout(600_000);
      const { workbench } = at;
      await workbench.openSidebar();
      await workbench.lessonStep('2. Set-up').filter({ hasText: 'no PyTorch' }).click();
      await link('Set Up Environment').first().click();
      await workbench.toast('Setting up an environment').waitFor();
      await workbench.toast('Ready to train').waitFor({ timeout: 540_000 });
      await workbench.shot('set-up-4-restricted-dark');
      assert.equal(await workbench.page.locator('.notification-toast .codicon-error').count(), 0);
    });

    it('starts nothing in the folder until it is trusted, and asks for that', async () => {
      const { workbench } = at;
      await workbench.command('Notifications: Clear All Notifications');
      await link('Check Hardware').first().click();
      await workbench.dialogButton('Trust Folder & Continue').waitFor();
      assert.ok(!fs.existsSync(marker));
      await workbench.dialogButton('Cancel').click();
    });
  },
);
