import assert from 'node:assert/strict';
import { sampleFolder } from '../folders.mts';
import { journey } from '../journey.mts';
import { until } from '../until.mts';

const folder = sampleFolder('remote', { steps: 60, evaluateEvery: 20, saveEvery: 20 });

journey('Behind a path prefix', { folder: () => folder, prefix: '/user/somebody/code/' }, (at) => {
  it('trains, and draws the dashboard with its own script and styles', async () => {
    const { workbench } = at;
    await workbench.openFile('small.yaml');
    await workbench.editor().locator('.codelens-decoration a').filter({ hasText: 'Train' }).click();
    await workbench.status().filter({ hasText: 'small-001 finished' }).waitFor({ timeout: 120_000 });
    const page = workbench.dashboard();
    await page.locator('.chart-large canvas').waitFor();
    const styled = await page
      .locator('.chart-large')
      .evaluate(() =>
        [...document.styleSheets].some(({ href }) => href !== null && /dashboard\.css/.test(href)),
      );
    assert.ok(styled, 'dashboard.css is loaded');
    await workbench.shot('remote-1-dashboard');
  });

  it('generates text with the checkpoint', async () => {
    const { workbench } = at;
    await workbench.command('Trickster: Generate Text');
    await workbench.dashboard().locator('.bars li').nth(4).waitFor();
  });

  it("shows the report and the lesson's pictures", async () => {
    const { workbench } = at;
    await workbench.command('Trickster: Training Report');
    await workbench
      .dashboard()
      .locator('h1')
      .filter({ hasText: 'What small-001 learned' })
      .waitFor({ timeout: 180_000 });
    await workbench.openSidebar();
    await workbench.lessonStep('6. Train').click();
    const picture = workbench.dashboard().locator('img').first();
    await until('the picture is there', async () =>
      picture.evaluate((element) => (element as HTMLImageElement).naturalWidth > 0),
    );
    await workbench.shot('remote-2-lesson');
  });

  it('asks for nothing outside of the prefix that is ours', () => {
    assert.deepEqual(
      at.server.astray.filter((url) => /trickster|dashboard|walkthroughs/i.test(url)),
      [],
    );
  });
});
