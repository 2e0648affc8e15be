import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { eventsOf, isAlive, sampleFolder, trainers } from '../folders.mts';
import { journey, outputOf } from '../journey.mts';
import { until } from '../until.mts';

// Long enough to outlast everything that is done to it.
const folder = sampleFolder('never-lose', { steps: 100_000, evaluateEvery: 300, saveEvery: 400 });

function lastStep(run: string): number {
  return Math.max(
    0,
    ...eventsOf(folder, run)
      .filter((event) => event.kind === 'step')
      .map((event) => event.step),
  );
}

/** The step that the dashboard shows. */
async function shownStep(at: {
  workbench: { dashboard(): import('playwright-core').FrameLocator };
}): Promise<number> {
  const tile = at.workbench.dashboard().locator('.tile .number').first();
  return Number((await tile.innerText()).replaceAll(',', ''));
}

journey(
  'A run is never lost',
  {
    folder: () => folder,
    expected: /SIGKILL|EPIPE|Connection got disposed/,
    settings: { 'workbench.colorTheme': 'Dark Modern' },
  },
  (at) => {
    let trainer = 0;

    it('starts', async () => {
      const { workbench } = at;
      await workbench.openFile('small.yaml');
      await workbench.openSidebar();
      await workbench.command('Trickster: Train');
      await workbench
        .status()
        .filter({ hasText: /step [1-9]/ })
        .waitFor();
      [trainer = 0] = trainers(folder);
      assert.ok(trainer > 0);
    });

    it('goes on while the window is reloaded, and everything is there again, live', async () => {
      const { workbench } = at;
      await until(
        'a first evaluation',
        () => eventsOf(folder, 'small-001').filter((event) => event.kind === 'eval').length >= 2,
      );
      await workbench.reload('small.yaml', 'trickster.dashboard');
      assert.ok(isAlive(trainer));
      const before = lastStep('small-001');
      await workbench.status().filter({ hasText: /step/ }).waitFor();
      // The dashboard was open and comes back by itself, with the whole curve and the samples.
      const page = workbench.dashboard();
      await page.locator('.badge').filter({ hasText: 'Training' }).waitFor();
      await page.locator('.samples .sample').filter({ hasText: /\w/ }).waitFor();
      await until('it shows steps made after the reload', async () => (await shownStep(at)) > before);
      assert.ok(
        Number(await page.locator('.samples input').getAttribute('max')) >= 1,
        'the samples from before the reload',
      );
      await workbench.openSidebar();
      await workbench.runRow('small-001').waitFor();
      await workbench.lessonStep('6. Train').filter({ hasText: 'step' }).waitFor();
      await workbench.command('Trickster: Show Samples');
      await workbench.outputShows('small-001 · step ');
      await until(
        'both windows have written the first sample',
        () => outputOf(at.server, 'Trickster Samples').split('small-001 · step 0 ').length === 3,
      );
      await workbench.page.keyboard.press('Control+J');
      await workbench.shot('never-lose-1-reloaded-dark');
    });

    it('goes on when the server is killed; the window follows it again', async () => {
      const { workbench } = at;
      const [server] = serversOf(at.server.pid);
      assert.ok(server, 'the language server was found');
      process.kill(server, 'SIGKILL');
      await until('the server is gone', () => !isAlive(server));
      assert.ok(isAlive(trainer));
      const before = lastStep('small-001');
      await until('steps made after the kill are shown', async () => (await shownStep(at)) > before);
      assert.ok(isAlive(trainer));
      assert.equal(await workbench.page.locator('.notification-toast.error').count(), 0);
    });

    it('stops and resumes', async () => {
      const { workbench } = at;
      await workbench.command('Trickster: Stop');
      const badge = workbench.dashboard().locator('.badge');
      await badge.filter({ hasText: 'Stopped, saved' }).waitFor();
      await until('the trainer has ended', () => !isAlive(trainer));
      const stoppedAt = lastStep('small-001');
      await workbench.shot('never-lose-2-stopped-dark');
      const measured = (): number =>
        eventsOf(folder, 'small-001').filter(({ kind }) => kind === 'eval').length;
      const before = measured();
      await workbench.command('Trickster: Resume');
      await workbench.toast('Training small-001').waitFor();
      await badge.filter({ hasText: 'Training' }).waitFor();
      await until('it goes on where it stopped', () => lastStep('small-001') > stoppedAt);
      await until('the window follows', async () => (await shownStep(at)) > stoppedAt);
      // It goes by itself, once the run was measured again.
      await workbench.toast('Training small-001').waitFor({ state: 'hidden', timeout: 120_000 });
      assert.ok(measured() > before);
      assert.ok(trainers(folder).length === 1, 'and the run goes on');
      await workbench.command('Trickster: Stop');
      await badge.filter({ hasText: 'Stopped, saved' }).waitFor();
    });

    it('shows a run that was started in a terminal, with the command that its terminals have', async () => {
      const { workbench } = at;
      const ended = trainInTerminal(at.server.userFolder, 400);
      await workbench.openSidebar();
      await workbench
        .runRow('small-002')
        .filter({ hasText: /step [1-9]/ })
        .waitFor({ timeout: 120_000 });
      await workbench.status().filter({ hasText: 'of 400' }).waitFor();
      assert.equal(await ended, 0);
      await workbench.runRow('small-002').filter({ hasText: 'finished' }).waitFor();
    });

    it('shows two runs in one chart', async () => {
      const { workbench } = at;
      await workbench.runRow('small-002').click();
      const page = workbench.dashboard();
      await page.locator('.chip').filter({ hasText: 'small-001' }).click();
      await until(
        'both are in the legend',
        async () => (await page.locator('.chart-large .legend-entry').count()) === 2,
      );
      await workbench.shot('never-lose-3-compared-dark');
    });

    it('tells of the run that trains, though a newer one has ended', async () => {
      const { workbench } = at;
      await workbench.command('Trickster: Resume');
      await workbench.status().filter({ hasText: 'of 100,000' }).waitFor();
      await workbench.command('Trickster: Stop');
      await workbench.runRow('small-001').filter({ hasText: 'stopped' }).waitFor();
    });

    it('deletes a run after asking', async () => {
      const { workbench } = at;
      // From the editor: a page that had the focus gets it back late on a busy machine, and a list that loses it closes.
      await workbench.tab('small.yaml').click();
      await workbench.command('Trickster: Delete Run…');
      await workbench.pick('small-002');
      await workbench.dialogButton('Delete').click();
      await workbench.runRow('small-002').waitFor({ state: 'hidden' });
      assert.ok(!fs.existsSync(path.join(folder, 'runs/small-002')));
      assert.ok(fs.existsSync(path.join(folder, 'runs/small-001')));
    });

    it('writes the samples of the next run too, which has the deleted one’s number', async () => {
      const { workbench } = at;
      const ended = trainInTerminal(at.server.userFolder, 60);
      await workbench
        .runRow('small-002')
        .filter({ hasText: /step [1-9]|finished/ })
        .waitFor();
      assert.equal(await ended, 0);
      await until(
        'both have written their first sample',
        () => outputOf(at.server, 'Trickster Samples').split('small-002 · step 0 ').length === 3,
      );
      await workbench.runRow('small-002').click();
      await workbench.dashboard().locator('.samples .caption').filter({ hasText: 'Step 60' }).waitFor();
    });

    it('writes the samples of a run that was over before it was seen', async () => {
      const { workbench } = at;
      const elsewhere = fs.mkdtempSync(`${folder}-elsewhere-`);
      assert.equal(await trainInTerminal(at.server.userFolder, 20, elsewhere), 0);
      fs.renameSync(path.join(elsewhere, 'small-001'), path.join(folder, 'runs/small-003'));
      await workbench.runRow('small-003').filter({ hasText: 'finished' }).waitFor();
      await until('it has its last sample', () =>
        outputOf(at.server, 'Trickster Samples').includes('small-003 · step 20 '),
      );
    });
  },
);

/** Train as a terminal of this window does. Resolves to the exit status. */
function trainInTerminal(userFolder: string, steps: number, output = 'runs'): Promise<number | null> {
  // What a terminal of this window has at the end of its PATH; this VS Code comes without the part that opens one.
  const storage = path.join(userFolder, 'User/workspaceStorage');
  const commands = fs
    .readdirSync(storage)
    .map((window) => path.join(storage, window, 'trickster.trickster/bin'))
    .find((bin) => fs.existsSync(bin));
  assert.ok(commands, 'the extension has written the command');
  const env = { ...process.env };
  delete env['PYTHONPATH'];
  const settings = `--set training_config.max_steps=${steps} --set output_config.output_dir=${output}`;
  const trainer = spawn(`trickster train small.yaml ${settings}`, {
    shell: true,
    cwd: folder,
    env: { ...env, PATH: `${env['PATH']}:${commands}`, OMP_NUM_THREADS: '1' },
    stdio: 'ignore',
  });
  return new Promise((resolve) => trainer.once('exit', resolve));
}

/** Language servers below a process, at any depth. */
function serversOf(root: number): number[] {
  const rows = execFileSync('ps', ['-eo', 'pid,ppid,args', 'ww'], { encoding: 'utf8' })
    .split('\n')
    .map((row) => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(row))
    .filter((match) => match !== null)
    .map(([, pid, parent, args]) => ({ pid: Number(pid), parent: Number(parent), args: args ?? '' }));
  const family = new Set([root]);
  for (let grown = true; grown;) {
    grown = false;
    for (const row of rows) {
      if (family.has(row.parent) && !family.has(row.pid)) {
        family.add(row.pid);
        grown = true;
      }
    }
  }
  return rows
    .filter((row) => family.has(row.pid) && row.args.includes('trickster_server'))
    .map((row) => row.pid);
}
