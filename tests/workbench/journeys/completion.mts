import { addRepeatingText, sampleFolder } from '../folders.mts';
import { journey } from '../journey.mts';
import { until } from '../until.mts';

const folder = sampleFolder('completion');
addRepeatingText(folder);

journey(
  "A model of one's own completes what is typed",
  {
    folder: () => folder,
    settings: { 'workbench.colorTheme': 'Dark Modern', 'trickster.train.show': 'nothing' },
  },
  (at) => {
    it('is trained, and chosen', async () => {
      const { workbench } = at;
      await workbench.openFile('repeats.yaml');
      await workbench.command('Trickster: Train');
      await workbench.status().filter({ hasText: 'repeats-001 finished' }).waitFor({ timeout: 120_000 });
      await workbench.command('Trickster: Complete with This Model');
      await workbench.page
        .locator('.statusbar-item[id="trickster.trickster.trickster.completion"]')
        .waitFor();
    });

    it('goes on with a begun line, in grey, and Tab takes it over', async () => {
      const { workbench } = at;
      await workbench.command('File: New Untitled Text File');
      await workbench.tab('Untitled-1').waitFor();
      await workbench.page.keyboard.type('the quick br');
      const ghost = workbench.editor().locator('.ghost-text-decoration, .ghost-text').first();
      await ghost.waitFor({ timeout: 60_000 });
      await workbench.shot('completion-1-offered-dark');
      await workbench.page.keyboard.press('Tab');
      await until('the line goes on', async () =>
        /the quick brown fox/.test((await workbench.editor().innerText()).replace(/\u00a0/g, ' ')),
      );
      await workbench.shot('completion-2-taken-dark');
    });

    it('is silent after a click on its name in the status bar', async () => {
      const { workbench } = at;
      const item = workbench.page.locator('.statusbar-item[id="trickster.trickster.trickster.completion"]');
      await item.locator('a').click();
      await item.waitFor({ state: 'detached' });
    });
  },
);
