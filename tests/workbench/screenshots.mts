// `make screenshots`: the pictures of the extension's README, taken in a real workbench from a real run of the preset
// pico. Takes as long as that run, unless RUN names the directory of one that has finished.
import fs from 'node:fs';
import path from 'node:path';
import { endRunsAtExit } from './folders.mts';
import { CodeServer, scratch } from './server.mts';
import { closeBrowser, Workbench } from './workbench.mts';

const TARGET = path.resolve(import.meta.dirname, '../../extension/media/screenshots');
const RUN_MS = 40 * 60_000;

const folder = scratch('pictures');
endRunsAtExit(folder);
fs.mkdirSync(TARGET, { recursive: true });
fs.copyFileSync(
  path.resolve(import.meta.dirname, '../../trickster_engine/config/presets/pico.yaml'),
  path.join(folder, 'pico.trickster.yaml'),
);
const finished = process.env['RUN'];
if (finished) {
  fs.cpSync(finished, path.join(folder, 'runs/pico-001'), { recursive: true });
}
const server = await CodeServer.start({
  settings: {
    'workbench.colorTheme': 'Dark Modern',
    'trickster.train.notification': false,
    'window.title': 'Trickster',
    // The picture is of Trickster: no Welcome page beside it, no chat.
    'workbench.startupEditor': 'none',
    'workbench.secondarySideBar.defaultVisibility': 'hidden',
    'window.commandCenter': false,
  },
});
const workbench = await Workbench.open(server, folder, { width: 1280, height: 800 });
const picture = async (name: string): Promise<void> => {
  await workbench.page.mouse.move(640, 2);
  await workbench.page.screenshot({ path: path.join(TARGET, `${name}.png`) });
};
try {
  await workbench.openSidebar();
  await workbench.openFile('pico.trickster.yaml');
  await workbench.editor().locator('.codelens-decoration a').filter({ hasText: 'Train' }).waitFor();
  await workbench
    .editor()
    .locator('.view-line span span')
    .filter({ hasText: /^hidden_dim$/ })
    .first()
    .hover();
  await workbench.page.locator('.monaco-hover:visible').filter({ hasText: 'parameters' }).first().waitFor();
  await workbench.page.screenshot({ path: path.join(TARGET, 'hover.png') });
  await workbench.page.keyboard.press('Escape');
  const page = workbench.dashboard();
  if (finished) {
    await workbench.runRow('pico-001').click();
    await page.locator('.badge').filter({ hasText: 'Finished' }).waitFor();
  } else {
    await workbench.command('Trickster: Train');
    await page.locator('.badge').filter({ hasText: 'Training' }).waitFor();
  }
  await workbench.tab('pico.trickster.yaml').click();
  await workbench.command('View: Close Editor');
  // One editor: the dashboard has the whole width.
  await page
    .locator('.samples .caption')
    .filter({ hasText: /Step [1-9],\d/ })
    .waitFor({ timeout: RUN_MS });
  await picture('learning');
  await workbench.theme('Light Modern');
  await page.locator('body.vscode-light').waitFor();
  await picture('learning-light');
  await workbench.theme('Dark Modern');
  await page.locator('.badge').filter({ hasText: 'Finished' }).waitFor({ timeout: RUN_MS });
  await page.locator('#tab-playground').click();
  await page.locator('.bars li').first().waitFor();
  await page.getByRole('button', { name: 'Generate' }).click();
  await page.locator('.area-text .caption').filter({ hasText: '200 tokens' }).waitFor();
  await page.locator('.output .unsure').nth(3).click();
  await picture('playground');
  await page.locator('#tab-proof').click();
  await page.getByRole('button', { name: 'Compare with Untrained Model' }).click();
  await page.locator('.losses').waitFor({ timeout: 180_000 });
  await picture('proof');
  await workbench.command('Trickster: Training Report');
  const report = workbench.page
    .locator('iframe.webview.ready:visible')
    .last()
    .contentFrame()
    .locator('iframe#active-frame')
    .contentFrame();
  await report.locator('h1').filter({ hasText: 'What pico-001 learned' }).waitFor({ timeout: 300_000 });
  await workbench.command('Notifications: Clear All Notifications');
  await picture('learned');
} finally {
  await workbench.close();
  await closeBrowser();
  await server.stop();
}
