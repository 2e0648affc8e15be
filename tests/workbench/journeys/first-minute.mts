import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { errors, type Locator, type Page } from 'playwright-core';
import { endRunsAtExit, eventsOf, sampleFolder, trainers } from '../folders.mts';
import { journey, outputOf } from '../journey.mts';
import { until } from '../until.mts';
import { scratch } from '../server.mts';

const folder = scratch('first-minute');
endRunsAtExit(folder);

/** Whether the preset's corpus can be had without a network. */
function hasShakespeare(): boolean {
  const local = process.env['TRICKSTER_CORPUS_DIR'];
  const cached = path.join(
    process.env['XDG_CACHE_HOME'] ?? path.join(os.homedir(), '.cache'),
    'trickster',
    'tinyshakespeare.txt',
  );
  return (
    (local !== undefined && fs.existsSync(path.join(local, 'tinyshakespeare.txt'))) || fs.existsSync(cached)
  );
}

journey(
  'From an empty folder to a model that has learned',
  { folder: () => folder, restricted: true, settings: { 'workbench.colorTheme': 'Dark Modern' } },
  (at) => {
    it('invites to train, and says in one line that the folder is not trusted', async () => {
      const { workbench } = at;
      await workbench.openSidebar();
      await workbench
        .view('Lesson')
        .locator('.message')
        .filter({ hasText: 'Train asks for trust first' })
        .waitFor();
      await workbench.view('Runs').locator('.monaco-button').filter({ hasText: 'Train' }).waitFor();
      await workbench.lessonStep('2. Set-up').filter({ hasText: 'PyTorch' }).waitFor();
      assert.equal(await workbench.view('Lesson').locator('.monaco-list-row').count(), 15);
      await workbench.shot('first-minute-1-empty-dark');
    });

    it('trains after two more clicks, one of them on trust', async () => {
      const { workbench } = at;
      const invitation = (title: string): Locator =>
        workbench
          .view('Runs')
          .locator('.monaco-button')
          .filter({ hasText: new RegExp(`^${title}$`) });
      const trust = workbench.dialogButton('Trust Folder & Continue');
      if (hasShakespeare()) {
        await invitation('Train').click();
        await trust.waitFor();
        await workbench.shot('first-minute-2-trust-dark');
        assert.deepEqual(fs.readdirSync(folder), [], 'nothing is written before the folder is trusted');
        await trust.click();
      } else {
        // The preset's text is not on this machine: the same journey on text that is.
        await invitation('New Config from Preset').click();
        await trust.click();
        await workbench.pick('pico');
        const file = path.join(folder, 'pico.trickster.yaml');
        await workbench.tab('pico.trickster.yaml').waitFor();
        await workbench.editor().locator('.view-line').first().waitFor();
        fs.writeFileSync(
          file,
          fs
            .readFileSync(file, 'utf8')
            .replace('corpus: shakespeare', 'corpus: python')
            .replace('val_fraction: 0.1 ', 'val_fraction: 0.01 '), // ten times the text, as much of it held out
        );
        // What trains is what the editor shows.
        await workbench.editor().click();
        await workbench.page.keyboard.press('ControlOrMeta+End');
        const changed = workbench
          .editor()
          .locator('.view-line')
          .filter({ hasText: /corpus:\s+python/ });
        await changed.waitFor();
        await workbench.command('Trickster: Train');
      }
      await workbench.tab('pico.trickster.yaml').waitFor();
      await workbench.toast('Training pico-001').waitFor();
      await workbench.runRow('pico-001').waitFor();
      await workbench.view('Lesson').locator('.message').waitFor({ state: 'hidden' });
    });

    it('shows the loss falling, in the chart, the status bar and the checklist', async () => {
      const { workbench } = at;
      const chart = workbench.dashboard().locator('.chart-large .plot');
      const reading = (): Promise<string> => chart.getAttribute('aria-label').then((label) => label ?? '');
      await until('the chart reads a training loss', async () => /training \d/.test(await reading()), 90_000);
      const first = await reading();
      await until('the chart moves on', async () => (await reading()) !== first, 60_000);
      // Not what random weights were worth at step 0.
      await workbench
        .status()
        .filter({ hasText: /step\s\d+\sof\s1,500\s·\s(loss|val)\s[0-4]\./ })
        .waitFor();
      await workbench.lessonStep('6. Train').filter({ hasText: 'step' }).waitFor();
      await workbench
        .lessonStep('1. Train or fine-tune?')
        .filter({ hasText: 'pico.trickster.yaml' })
        .waitFor();
      await workbench
        .lessonStep('3. Data')
        .filter({ hasText: hasShakespeare() ? '90/10' : '99/1' })
        .waitFor();
      await workbench.shot('first-minute-3-training-dark');
    });

    it('draws a chart anew when it is scrolled to', async () => {
      const page = at.workbench.dashboard();
      const last = page.locator('.small-charts .plot').last();
      const before = await last.getAttribute('aria-label');
      await last.scrollIntoViewIfNeeded();
      await last.locator('canvas').waitFor();
      await until('it shows a newer speed', async () => {
        const now = (await last.getAttribute('aria-label')) ?? '';
        return now !== before && /Tokens\/s\. .*\d/.test(now);
      });
      await page.locator('header.head').scrollIntoViewIfNeeded();
    });

    it('writes samples into the output', async () => {
      const { workbench } = at;
      await workbench.command('Trickster: Show Samples');
      assert.match(outputOf(at.server, 'Trickster Samples'), /pico-001 · step 0 /);
      await workbench.outputShows('validation loss');
      await workbench.shot('first-minute-4-samples-dark');
      await workbench.page.keyboard.press('Control+J');
    });

    it('stops, saving first', async () => {
      const { workbench } = at;
      await until(
        'some steps are done',
        () => eventsOf(folder, 'pico-001').some((event) => event.step >= 50),
        120_000,
      );
      await workbench.command('Trickster: Stop');
      await workbench.dashboard().locator('.badge').filter({ hasText: 'Stopped, saved' }).waitFor();
      await workbench.toast('Training pico-001').waitFor({ state: 'hidden' });
      await until('nobody trains any more', () => trainers(folder).length === 0);
      await workbench.dashboard().locator('.checkpoint').first().waitFor();
    });

    it('generates text with the checkpoint, with the probabilities of every character', async () => {
      const { workbench } = at;
      await workbench.command('Trickster: Generate Text');
      const page = workbench.dashboard();
      await page.locator('.bars li').nth(4).waitFor();
      await page.getByRole('button', { name: 'Generate' }).click();
      await page.locator('.area-text .caption').filter({ hasText: '200 tokens' }).waitFor();
      assert.equal(await page.locator('.output span').count(), 200);
      await page.locator('.output').focus();
      await workbench.page.keyboard.press('ArrowRight');
      await page.locator('.area-bars h2').filter({ hasText: 'Sampled' }).waitFor();
      assert.equal(await page.locator('.output .selected').count(), 1);
      await workbench.shot('first-minute-5-playground-dark');
      const likeliest = page.locator('.bars button').first();
      await likeliest.focus();
      await workbench.page.keyboard.press('Enter');
      await page.locator('.area-bars h2').filter({ hasText: 'After the prompt' }).waitFor();
      assert.ok(
        await likeliest.evaluate((element) => element === document.activeElement),
        'the keyboard is on the next token to add',
      );
    });

    it('proves that it learned, beside an untrained model', async () => {
      const { workbench } = at;
      await workbench.command('Trickster: Compare with Untrained Model');
      const page = workbench.dashboard();
      await page.locator('.losses tr').nth(5).waitFor({ timeout: 120_000 });
      const losses = await page.locator('.losses .value').allInnerTexts();
      // The last row is the trained model again, strided.
      const [untrained, trained] = losses.slice(-3).map((value) => parseFloat(value));
      assert.ok(
        trained !== undefined && untrained !== undefined && trained < untrained - 1,
        `${untrained} → ${trained}`,
      );
      await workbench.lessonStep('8. Proof').filter({ hasText: 'pico-001' }).waitFor();
      await workbench.shot('first-minute-6-proof-dark');
      await workbench.theme('Light Modern');
      await page.locator('body.vscode-light').waitFor();
      await workbench.shot('first-minute-7-proof-light');
      await page.locator('#tab-learning').click();
      await page.locator('.chart-large canvas').waitFor();
      await workbench.shot('first-minute-8-learning-light');
    });

    it('still has the proof after another editor was in front of it', async () => {
      const { workbench } = at;
      const page = workbench.dashboard();
      await page.locator('#tab-proof').click();
      await workbench.command('File: New Untitled Text File');
      await workbench.tab('Untitled-1').waitFor();
      await workbench.page.locator('.tabs-container .tab').filter({ hasText: 'Trickster Dashboard' }).click();
      await page.locator('.losses tr').nth(5).waitFor();
    });

    it('has nothing of ours in the Problems panel', async () => {
      const { workbench } = at;
      await workbench.command('Problems: Focus on Problems View');
      await workbench.page
        .locator('.markers-panel-container .message-box-container')
        .filter({ hasText: 'No problems' })
        .waitFor();
    });
  },
);

/** Whether the page goes to an address within five seconds. */
function navigated(page: Page, there: (url: URL) => boolean): Promise<boolean> {
  return page.waitForURL(there, { timeout: 5_000, waitUntil: 'commit' }).then(
    () => true,
    (error: unknown) => {
      if (error instanceof errors.TimeoutError) {
        return false;
      }
      throw error;
    },
  );
}

const opened = sampleFolder('opened', { steps: 40, evaluateEvery: 20, saveEvery: 20 });
journey('From a window with no folder', { folder: () => undefined }, (at) => {
  it('says that a folder comes first, and opens one', async () => {
    const { workbench } = at;
    await workbench.command('Trickster: Train');
    await workbench.toastButton('Open a folder first', 'Open Folder').click();
    const place = workbench.quickInput().locator('.quick-input-box input').first();
    // Until it has listed the first folder, it overwrites what is typed.
    await workbench.quickInput().locator('.quick-input-list .monaco-list-row').first().waitFor();
    await place.fill(`${opened}/`);
    const ok = workbench.quickInput().getByRole('button', { name: 'OK' });
    const there = (url: URL) => url.searchParams.get('folder') === opened;
    await ok.click();
    // OK on a folder that the dialog has not listed yet only lists it; the next one opens it.
    while (!(await navigated(workbench.page, there))) {
      if (await ok.isVisible()) {
        await ok.click();
      }
    }
    await workbench.shown();
    await workbench.browseRestricted();
  });

  it('trains there with the same command, asking once', async () => {
    const { workbench } = at;
    await workbench.command('Trickster: Train');
    await workbench.dialogButton('Trust Folder & Continue').click();
    await workbench.toast('Training small-001').waitFor();
    await workbench.status().filter({ hasText: 'small-001 finished' }).waitFor({ timeout: 120_000 });
  });
});
