import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { sampleFolder } from '../folders.mts';
import { journey } from '../journey.mts';
import { until } from '../until.mts';
import { recordRun } from '../recorded.mts';

const folder = sampleFolder('dashboard');
const LONG = recordRun(folder, 'long-001', 100_000);
recordRun(folder, 'short-001', 400);
recordRun(folder, 'pieces-001', 400, 2.5);

journey(
  'The dashboard',
  { folder: () => folder, settings: { 'workbench.colorTheme': 'Dark Modern' } },
  (at) => {
    it('draws 100,000 points', async () => {
      const { workbench } = at;
      await workbench.openSidebar();
      await workbench.runRow('long-001').click();
      const page = workbench.dashboard();
      await until('the whole curve is there', async () =>
        ((await page.locator('.chart-large .plot').getAttribute('aria-label')) ?? '').includes('validation'),
      );
      await until('the last sample is shown', async () =>
        (await page.locator('.samples .caption').innerText()).includes(
          LONG.lastSample.toLocaleString('en-US'),
        ),
      );
    });

    it('stays smooth while the pointer moves over it', async () => {
      const { workbench } = at;
      const frame = workbench.dashboard();
      const plot = frame.locator('.chart-large .u-over');
      const box = await plot.boundingBox();
      assert.ok(box);
      // The time between frames while the cursor moves across the whole chart.
      const handle = await frame.locator('body').elementHandle();
      assert.ok(handle);
      const frames = handle.evaluate(
        () =>
          new Promise<number[]>((resolve) => {
            const times: number[] = [];
            let last = performance.now();
            const tick = (now: number): void => {
              times.push(now - last);
              last = now;
              if (times.length < 60) {
                requestAnimationFrame(tick);
              } else {
                resolve(times.slice(1));
              }
            };
            requestAnimationFrame(tick);
          }),
      );
      for (let i = 0; i <= 60; i++) {
        await workbench.page.mouse.move(box.x + (box.width * i) / 60, box.y + 50);
      }
      const times = (await frames).sort((a, b) => a - b);
      const median = times[Math.floor(times.length / 2)] ?? Infinity;
      console.log(`      median time between frames ${median.toFixed(1)} ms`);
      assert.ok(median < 60, `median ${median} ms`);
    });

    it('zooms by dragging and shows everything again on a double click', async () => {
      const { workbench } = at;
      const plot = workbench.dashboard().locator('.chart-large .u-over');
      const box = await plot.boundingBox();
      assert.ok(box);
      const ticks = (): Promise<string> =>
        workbench
          .dashboard()
          .locator('.chart-large .plot')
          .screenshot()
          .then((image) => image.toString('base64'));
      const whole = await ticks();
      await workbench.page.mouse.move(box.x + box.width * 0.3, box.y + 60);
      await workbench.page.mouse.down();
      await workbench.page.mouse.move(box.x + box.width * 0.5, box.y + 60, { steps: 5 });
      await workbench.page.mouse.up();
      await until('another picture', async () => (await ticks()) !== whole);
      await plot.dblclick();
      await workbench.page.mouse.move(10, 10);
    });

    it('shows another run whole, whatever was zoomed in the one before', async () => {
      const { workbench } = at;
      const page = workbench.dashboard();
      const plot = page.locator('.small-charts .plot').first();
      await plot.scrollIntoViewIfNeeded();
      const box = await plot.locator('.u-over').boundingBox();
      assert.ok(box);
      await workbench.page.mouse.move(box.x + box.width * 0.3, box.y + 30);
      await workbench.page.mouse.down();
      await workbench.page.mouse.move(box.x + box.width * 0.5, box.y + 30, { steps: 5 });
      await workbench.page.mouse.up();
      await workbench.page.mouse.move(10, 10);
      const firstStep = async (): Promise<number> => {
        await plot.press('Home');
        const [, step = 'none yet'] =
          /step ([\d,]+):/.exec((await plot.getAttribute('aria-label')) ?? '') ?? [];
        return Number(step.replaceAll(',', ''));
      };
      await until('a part of the long run', async () => (await firstStep()) > 1000);
      await page.locator('#run').selectOption({ label: 'short-001' });
      await until('the short run from its beginning', async () => (await firstStep()) < 10);
      await page.locator('#run').selectOption({ label: 'long-001' });
      await page
        .locator('.samples .caption')
        .filter({ hasText: LONG.lastSample.toLocaleString('en-US') })
        .waitFor();
    });

    it('lays a run in other tokens over it in bits/byte', async () => {
      const { workbench } = at;
      const page = workbench.dashboard();
      const title = page.locator('.chart-large h2');
      const heldOut = async (): Promise<(string | undefined)[]> =>
        (await page.locator('.chart-large .legend-entry').allInnerTexts()).map(
          (entry) => /validation ([\d.]+)/.exec(entry)?.[1],
        );
      await page.locator('#run').selectOption({ label: 'pieces-001' });
      await page
        .locator('.tile')
        .nth(1)
        .filter({ hasText: '3.750' })
        .filter({ hasText: '2.164 bits/byte' })
        .waitFor();
      await until('its own losses are a token', async () => (await heldOut()).join() === '3.75');
      assert.equal(await title.innerText(), 'Loss (nats/token)');
      const chip = page.locator('.chip').filter({ hasText: 'short-001 · 2.16 bits/byte' });
      await chip.click();
      await until('both are in one unit', async () => (await heldOut()).join() === '2.16,2.16');
      assert.match(await title.innerText(), /bits\/byte/);
      await workbench.shot('dashboard-other-tokens-dark');
      await chip.click();
      await until('one run, a token again', async () => (await heldOut()).join() === '3.75');
      await page.locator('#run').selectOption({ label: 'long-001' });
      await page
        .locator('.samples .caption')
        .filter({ hasText: LONG.lastSample.toLocaleString('en-US') })
        .waitFor();
    });

    it('can be read with the keyboard', async () => {
      const { workbench } = at;
      const plot = workbench.dashboard().locator('.chart-large .plot');
      await plot.focus();
      await workbench.page.keyboard.press('Home');
      const atStart = await plot.getAttribute('aria-label');
      await workbench.page.keyboard.press('ArrowRight');
      const next = await plot.getAttribute('aria-label');
      assert.match(atStart ?? '', /step \d/);
      assert.notEqual(atStart, next);
      // The pointer reads again as soon as it moves.
      const box = await plot.locator('.u-over').boundingBox();
      assert.ok(box);
      await workbench.page.mouse.move(box.x + box.width * 0.5, box.y + 60);
      await workbench.page.mouse.move(box.x + box.width * 0.6, box.y + 60, { steps: 3 });
      await until('another reading', async () => (await plot.getAttribute('aria-label')) !== next);
      await workbench.page.mouse.move(10, 10);
      await workbench.page.keyboard.press('Escape');
      const tab = workbench.dashboard().locator('#tab-learning');
      await tab.focus();
      await workbench.page.keyboard.press('ArrowRight');
      assert.equal(
        await workbench.dashboard().locator('#tab-playground').getAttribute('aria-selected'),
        'true',
      );
      await workbench.page.keyboard.press('ArrowLeft');
    });

    it('scrubs through the samples', async () => {
      const { workbench } = at;
      const slider = workbench.dashboard().locator('.samples input');
      await slider.focus();
      await workbench.page.keyboard.press('Home');
      await workbench.dashboard().locator('.samples .caption').filter({ hasText: 'Step 0' }).waitFor();
      await workbench.page.keyboard.press('End');
    });

    it('keeps what it shows when it is hidden and shown again', async () => {
      const { workbench } = at;
      const page = workbench.dashboard();
      const chip = page.locator('.chip').filter({ hasText: 'short-001' });
      await chip.focus();
      await workbench.page.keyboard.press('Enter');
      await until('two curves', async () => (await page.locator('.chart-large .legend-entry').count()) === 2);
      assert.equal(await chip.getAttribute('aria-pressed'), 'true');
      assert.ok(
        await chip.evaluate((element) => element === document.activeElement),
        'the keyboard is still on the run that it has added',
      );
      await workbench.page.keyboard.press('Control+P');
      await workbench.quickInput().locator('input').first().fill('small.yaml');
      await workbench.pick('small.yaml');
      await workbench.tab('small.yaml').waitFor();
      const dashboardTab = workbench.page
        .locator('.tabs-container .tab')
        .filter({ hasText: 'Trickster Dashboard' });
      const yamlTab = workbench.tab('small.yaml');
      // In one group the editor hides the dashboard.
      await yamlTab.click();
      await dashboardTab.click();
      await page.locator('.chart-large canvas').waitFor();
      await until(
        'two curves again',
        async () => (await page.locator('.chart-large .legend-entry').count()) === 2,
      );
      assert.equal(
        await page
          .locator('#run')
          .inputValue()
          .then((id) => id.includes('long-001')),
        true,
      );
    });

    for (const [theme, kind] of [
      ['Light Modern', 'vscode-light'],
      ['Dark High Contrast', 'vscode-high-contrast'],
      ['Light High Contrast', 'vscode-high-contrast-light'],
    ] as const) {
      it(`follows the theme: ${theme}`, async () => {
        const { workbench } = at;
        await workbench.theme(theme);
        await workbench.dashboard().locator(`body.${kind}`).waitFor();
        if (kind !== 'vscode-light') {
          // There the line around and what is done have one colour.
          const behind = await workbench
            .dashboard()
            .locator('.progress')
            .evaluate((bar) => getComputedStyle(bar).backgroundColor);
          assert.equal(behind, 'rgba(0, 0, 0, 0)');
        }
        await workbench.shot(`dashboard-${theme.toLowerCase().replaceAll(' ', '-')}`);
      });
    }

    it('runs under a policy that allows nothing from outside', async () => {
      const policy = await at.workbench
        .dashboard()
        .locator('meta[http-equiv="Content-Security-Policy"]')
        .getAttribute('content');
      assert.match(policy ?? '', /default-src 'none'/);
      assert.doesNotMatch(policy ?? '', /unsafe|script-src [^;]*(self|https)/);
      assert.ok(fs.existsSync(folder));
    });

    it('takes no run for a deleted one that had its name', async () => {
      const page = at.workbench.dashboard();
      const runs = path.join(folder, 'runs');
      for (const name of ['short-001', 'pieces-001', 'long-001']) {
        fs.rmSync(path.join(runs, name), { recursive: true });
      }
      await page.locator('h1').filter({ hasText: 'No runs yet' }).waitFor();
      recordRun(folder, 'long-001', 200);
      await page.locator('.samples .caption').filter({ hasText: 'Step 200' }).waitFor();
    });

    it('shows the samples of a run again after one that has none', async () => {
      const page = at.workbench.dashboard();
      // Written where no run is looked for: once it is seen, the file of its events only grows.
      const bare = path.join(folder, '.bare');
      recordRun(folder, '../.bare', 40);
      const events = path.join(bare, 'events.jsonl');
      const lines = fs.readFileSync(events, 'utf8').split('\n');
      fs.writeFileSync(events, lines.filter((line) => !line.includes('"kind":"sample"')).join('\n'));
      fs.renameSync(bare, path.join(folder, 'runs/bare-001'));
      await page.locator('#run option').filter({ hasText: 'bare-001' }).waitFor({ state: 'attached' });
      await page.locator('#run').selectOption({ label: 'bare-001' });
      await page.locator('.samples .caption').filter({ hasText: 'A sample appears' }).waitFor();
      await page.locator('#run').selectOption({ label: 'long-001' });
      await page.locator('.samples .sample').filter({ hasText: 'The' }).waitFor();
    });
  },
);
