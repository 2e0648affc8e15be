import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { sampleFolder, smallConfig } from '../folders.mts';
import { journey } from '../journey.mts';
import { until } from '../until.mts';

const folder = sampleFolder('config-help');
const file = path.join(folder, 'small.yaml');
fs.writeFileSync(file, smallConfig().replace('hidden_dim', 'hiden_dim'));
fs.writeFileSync(path.join(folder, 'taught.yaml'), 'training_config:\n  distill_from: ');
for (const name of ['first', 'second']) {
  const model = path.join(folder, 'teachers', name);
  fs.mkdirSync(model, { recursive: true });
  fs.writeFileSync(path.join(model, 'config.json'), '{"model_type": "llama"}');
  fs.writeFileSync(path.join(model, 'model.safetensors'), '');
}
fs.writeFileSync(path.join(folder, 'other.yaml'), 'services:\n  web:\n    image: nginx\n    hiden_dim: 3\n');

journey(
  'The config explains itself',
  { folder: () => folder, expected: /is not UTF-8/, settings: { 'workbench.colorTheme': 'Light Modern' } },
  (at) => {
    it('marks a typo', async () => {
      await at.workbench.openFile('small.yaml');
      await at.workbench.squiggles().first().waitFor();
      await at.workbench.shot('config-help-1-typo-light');
    });

    it('mends it with a quick fix', async () => {
      const { workbench } = at;
      await workbench.command('Go to Next Problem (Error, Warning, Info)');
      await workbench.page.keyboard.press('Escape');
      await workbench.command('Quick Fix...');
      await workbench.page.locator('.action-widget .monaco-list-row').first().waitFor();
      await workbench.shot('config-help-2-fixes-light');
      await workbench.page.keyboard.press('Enter');
      await workbench.squiggles().first().waitFor({ state: 'hidden' });
      await workbench.page.keyboard.press('Control+S');
      await until('the file is saved mended', () =>
        /^ {2}hidden_dim: 48$/m.test(fs.readFileSync(file, 'utf8')),
      );
    });

    it('answers when the pointer rests on a number', async () => {
      const { workbench } = at;
      await workbench
        .editor()
        .locator('.view-line span span')
        .filter({ hasText: /^hidden_dim$/ })
        .first()
        .hover();
      await workbench.page
        .locator('.monaco-hover:visible')
        .filter({ hasText: 'parameters' })
        .first()
        .waitFor();
      await workbench.shot('config-help-3-hover-light');
      await workbench.page.keyboard.press('Escape');
    });

    it('offers the models nearby where a list of teachers begins', async () => {
      const { workbench } = at;
      await workbench.openFile('taught.yaml');
      await workbench.page.keyboard.press('Control+End');
      await workbench.page.keyboard.type('[');
      await until('the models are known', async () => {
        await workbench.page.keyboard.press('Escape');
        await workbench.page.keyboard.press('Control+Space');
        const offered = workbench.page
          .locator('.suggest-widget .monaco-list-row')
          .filter({ hasText: 'teachers/second' });
        return offered.first().isVisible();
      });
      await workbench.shot('config-help-3-teachers-light');
      await workbench.page.keyboard.type('teachers/sec');
      await workbench.page.keyboard.press('Enter');
      await workbench.page.keyboard.press('Control+S');
      await until('the file names it', () =>
        /distill_from: \[teachers\/second\]$/m.test(
          fs.readFileSync(path.join(folder, 'taught.yaml'), 'utf8'),
        ),
      );
      await workbench.tab('small.yaml').click();
    });

    it('offers Train over the file', async () => {
      await at.workbench.editor().locator('.codelens-decoration a').filter({ hasText: 'Train' }).waitFor();
    });

    it('shows the model before training, the dataset and the machine, and ticks their steps', async () => {
      const { workbench } = at;
      await workbench.openSidebar();
      for (const [title, report, step, fact] of [
        ['Trickster: Prepare Dataset', 'validation tokens', '3. Data', '90/10'],
        ['Trickster: Inspect Model', 'a uniform prediction has ln', '4. Model', 'first loss 5.'],
        ['Trickster: Check Hardware', 'torch', '2. Set-up', 'PyTorch'],
      ] as const) {
        await workbench.tab('small.yaml').click();
        await workbench.command(title);
        await workbench.lessonStep(step).filter({ hasText: fact }).waitFor({ timeout: 90_000 });
        await workbench.dashboard().locator('body').filter({ hasText: report }).waitFor();
      }
      await workbench.shot('config-help-4-reports-light');
    });

    it('has ticked the same steps in the walkthrough', async () => {
      const { workbench } = at;
      await workbench.command('Trickster: Open Lesson');
      const steps = workbench.page.locator('.getting-started-step');
      await steps.first().waitFor();
      assert.equal(await steps.count(), 15);
      for (const [number, done] of [
        [1, true],
        [4, true],
        [5, true],
        [6, false],
      ] as const) {
        const step = steps.nth(number - 1);
        await step
          .locator(done ? '.codicon-getting-started-step-checked' : '.codicon-getting-started-step-unchecked')
          .waitFor();
      }
      await workbench.shot('config-help-5-walkthrough-light');
    });

    it('says what happened when a run fails, and what to do', async () => {
      const { workbench } = at;
      fs.writeFileSync(path.join(folder, 'corpus.txt'), Buffer.alloc(200_000, 0xff));
      await workbench.tab('small.yaml').click();
      await workbench.command('Trickster: Train');
      await workbench.toast('is not UTF-8').waitFor({ timeout: 60_000 });
      await workbench.shot('config-help-6-failed-light');
    });

    it('leaves other YAML alone', async () => {
      const { workbench } = at;
      await workbench.openFile('other.yaml');
      await workbench.page.locator('#status\\.editor\\.mode').filter({ hasText: 'YAML' }).waitFor();
      assert.equal(await workbench.squiggles().count(), 0);
      assert.equal(await workbench.editor().locator('.codelens-decoration').count(), 0);
    });
  },
);
