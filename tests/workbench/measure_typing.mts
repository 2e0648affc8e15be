// measure_typing.mts RUN TEXT: from a key to the completion that is painted, in a real workbench, as a JSON line.
// RUN is a finished run, TEXT a file of which the beginning is typed. Wants a quiet machine.
import fs from 'node:fs';
import path from 'node:path';
import { sampleFolder } from './folders.mts';
import { CodeServer } from './server.mts';
import { closeBrowser, Workbench } from './workbench.mts';

const KEYS = Number(process.env['KEYS'] ?? 300);
/** A key is waited for so long; a model that is not sure enough offers nothing. */
const PATIENCE_MS = 400;
const [run, text] = process.argv.slice(2);
if (!run || !text) {
  throw new Error('measure_typing.mts RUN TEXT');
}

/** In the page: remembers when the last key went down, and when a completion has been painted since. */
function watch(): void {
  const seen = { key: 0, painted: 0, shown: '' };
  Object.assign(globalThis, { seen });
  document.addEventListener(
    'keydown',
    () => {
      seen.key = performance.now();
      seen.painted = 0;
    },
    true,
  );
  new MutationObserver(() => {
    const shown = [...document.querySelectorAll('.ghost-text-decoration, .ghost-text')]
      .map((element) => element.textContent)
      .join('');
    if (shown && shown !== seen.shown && seen.painted === 0) {
      // What is there when a frame begins is painted at its end, which is when the next task runs.
      requestAnimationFrame(() => setTimeout(() => (seen.painted ||= performance.now())));
    }
    seen.shown = shown;
  }).observe(document.body, { childList: true, subtree: true, characterData: true });
}

function percentile(values: number[], share: number): number {
  return Math.round(values.toSorted((a, b) => a - b)[Math.floor(values.length * share)] ?? NaN);
}

const folder = sampleFolder('typing');
fs.cpSync(run, path.join(folder, 'runs', path.basename(run)), { recursive: true });
const server = await CodeServer.start();
const workbench = await Workbench.open(server, folder);
await workbench.openSidebar();
await workbench.runRow(path.basename(run)).click();
await workbench.command('Trickster: Complete with This Model');
await workbench.page.locator('.statusbar-item[id="trickster.trickster.trickster.completion"]').waitFor();
await workbench.command('File: New Untitled Text File');
await workbench.tab('Untitled-1').waitFor();
await workbench.page.evaluate(watch);
const times: number[] = [];
for (const key of fs.readFileSync(text, 'utf8').slice(0, KEYS)) {
  await (key === '\n' ? workbench.page.keyboard.press('Enter') : workbench.page.keyboard.type(key));
  const took = await workbench.page
    .waitForFunction(
      () => {
        const { key: down, painted } = (globalThis as unknown as { seen: { key: number; painted: number } })
          .seen;
        return painted ? painted - down : false;
      },
      null,
      { timeout: PATIENCE_MS },
    )
    .then(
      (handle) => handle.jsonValue() as Promise<number>,
      () => undefined,
    );
  if (took !== undefined) {
    times.push(took);
  }
}
await workbench.shot('typing');
await workbench.close();
await server.stop();
const [p50, p95, p99] = [0.5, 0.95, 0.99].map((share) => percentile(times, share));
console.log(
  JSON.stringify({ figure: 'key to painted completion', keys: KEYS, offered: times.length, p50, p95, p99 }),
);
await closeBrowser();
process.exit();
