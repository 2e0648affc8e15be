// measure.mts [activation] [first-step] [memory] [speed]: the extension's figures, in a real workbench, as JSON lines.
// Wants a quiet machine.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { eventsOf, presetConfig, sampleFolder, trainers } from './folders.mts';
import { Inspected } from './heap.mts';
import { until } from './until.mts';
import { CodeServer, PYTHON } from './server.mts';
import { closeBrowser, Workbench } from './workbench.mts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const EVENTS = 100_000;
const ROUNDS = Number(process.env['ROUNDS'] ?? 3);
/** Of pico in each run whose speed is measured: a minute or so. */
const STEPS = Number(process.env['STEPS'] ?? 400);
const ENGINE_ENV = { ...process.env, PYTHONPATH: ROOT };

function report(figure: string, values: Record<string, unknown>): void {
  console.log(JSON.stringify({ figure, ...values }));
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

/**
 * How long VS Code itself says that activating took, in a few fresh windows; beside it what its own extensions took there,
 * of which json-language-features is one with a language client like ours.
 */
async function activation(): Promise<void> {
  const folder = sampleFolder('activation');
  fs.writeFileSync(path.join(folder, 'other.json'), '{}\n');
  const server = await CodeServer.start({ settings: { 'files.hotExit': 'off' } });
  const times = new Map<string, number[]>();
  for (let i = 0; i < 5; i++) {
    const workbench = await Workbench.open(server, folder);
    await workbench.openFile('other.json');
    await workbench.openFile('small.yaml');
    await workbench.editor().locator('.codelens-decoration a').filter({ hasText: 'Train' }).waitFor();
    await workbench.command('Developer: Show Running Extensions');
    const rows = workbench.page.locator('.runtime-extensions-editor .extension');
    await rows.filter({ hasText: 'Trickster' }).locator('.activation-time').waitFor();
    for (const row of await rows.all()) {
      const name = (await row.locator('.name').innerText()).trim();
      const took = /(\d+)\s*ms/.exec(await row.locator('.activation-time').innerText())?.[1];
      if (took !== undefined) {
        times.set(name, [...(times.get(name) ?? []), Number(took)]);
      }
    }
    await workbench.close();
  }
  await server.stop();
  for (const [extension, all] of [...times].sort(([a], [b]) => a.localeCompare(b))) {
    report('activation', { extension, median_ms: median(all), all_ms: all });
  }
}

/** From choosing Train to the first step in the status bar, each time of a new run. The first warms the disk. */
async function firstStep(): Promise<void> {
  const folder = sampleFolder('first-step', { steps: 100_000 });
  const server = await CodeServer.start();
  const workbench = await Workbench.open(server, folder);
  await workbench.openFile('small.yaml');
  await workbench.editor().locator('.codelens-decoration a').filter({ hasText: 'Train' }).waitFor();
  const times: number[] = [];
  for (let i = 1; i <= 5; i++) {
    await workbench.openPalette('Trickster: Train');
    const row = workbench.rows().filter({ hasText: 'Trickster: Train' }).first();
    await row.waitFor();
    const begin = performance.now();
    const clock = Date.now() / 1000;
    await row.click();
    // Only a live run is at a step "of" so many; the one before has stopped and says so.
    await workbench
      .status()
      .filter({ hasText: /step [1-9][\d,]* of / })
      .waitFor();
    times.push((performance.now() - begin) / 1000);
    const first = eventsOf(folder, `small-00${i}`).find(({ kind }) => kind === 'step');
    assert.ok(first && first.t > clock, 'the step shown was made after the command, by its own run');
    await workbench.dashboard().locator('.actions button').filter({ hasText: 'Stop' }).click();
    await until('it has stopped', () => trainers(folder).length === 0);
    await workbench
      .status()
      .filter({ hasText: `small-00${i} stopped` })
      .waitFor();
  }
  await workbench.close();
  await server.stop();
  report('command to first step shown', {
    first_s: times[0],
    warm_median_s: median(times.slice(1)),
    all_s: times,
  });
}

/**
 * Memory of the extension host and of the dashboard's page while 100,000 live events come: what each holds after a
 * collection, and for the host also the pages that the system counts, garbage and all.
 */
async function memory(): Promise<void> {
  const folder = sampleFolder('memory');
  const server = await CodeServer.start();
  const workbench = await Workbench.open(server, folder);
  await workbench.openFile('small.yaml');
  await workbench.openSidebar();
  const seconds = 90;
  const recorder = spawn(
    PYTHON,
    [
      path.join(import.meta.dirname, 'record_run.py'),
      path.join(folder, 'runs/live-001'),
      path.join(folder, 'small.yaml'),
      String(EVENTS),
      String(seconds),
    ],
    { env: ENGINE_ENV, stdio: 'inherit' },
  );
  const ended = new Promise((resolve) => recorder.once('exit', resolve));
  await workbench.runRow('live-001').click();
  const page = workbench.dashboard();
  const host = extensionHost(server.pid);
  const inspected = await Inspected.open(host);
  const sample = async (): Promise<Record<string, number>> => ({
    step: Number((await page.locator('.tile .number').first().innerText()).replaceAll(',', '')),
    extension_host_resident_mb: residentMegabytes(host),
    ...(await inspected.held()),
    page_heap_mb: await heap(workbench),
  });
  const samples: Record<string, number>[] = [];
  for (const share of [0.1, 0.25, 0.5, 0.75, 1]) {
    await until(
      `${share} of the events`,
      async () =>
        Number((await page.locator('.tile .number').first().innerText()).replaceAll(',', '')) >=
        share * EVENTS,
      300_000,
    );
    samples.push(await sample());
  }
  await ended;
  await page.locator('.badge').filter({ hasText: 'Finished' }).waitFor();
  samples.push(await sample());
  inspected.close();
  await workbench.close();
  await server.stop();
  report('memory over 100,000 live events', { samples });
}

/**
 * Tokens a second of the same training, in turns: from the command line alone, from the command line beside a VS Code
 * that knows nothing of it, and from VS Code with its sidebar alone and with the dashboard open. Beside VS Code's, the
 * processor time that its parts take while it trains: what is VS Code's own, and what ours.
 */
async function speed(): Promise<void> {
  const folder = sampleFolder('speed');
  const elsewhere = sampleFolder('speed-elsewhere');
  const config = presetConfig('pico', STEPS);
  [folder, elsewhere].forEach((place) => fs.writeFileSync(path.join(place, 'small.yaml'), config));
  const server = await CodeServer.start({ env: { OMP_NUM_THREADS: undefined } });

  /** Train where no window looks. */
  const outside = async (): Promise<number> => {
    const before = runsIn(elsewhere);
    const trainer = spawn(PYTHON, ['-m', 'trickster_engine', 'train', 'small.yaml'], {
      cwd: elsewhere,
      env: ENGINE_ENV,
      stdio: 'ignore',
    });
    const code = await new Promise<number | null>((resolve) => trainer.once('exit', resolve));
    assert.equal(code, 0, 'the run from the command line finished');
    return tokensPerSecond(theOne(elsewhere, before));
  };
  const openWindow = async (): Promise<Workbench> => {
    const workbench = await Workbench.open(server, folder);
    await workbench.openFile('small.yaml');
    await workbench.openSidebar();
    return workbench;
  };
  const shares: Record<string, Record<string, number>> = {};
  /** Of one processor, by each part of VS Code, while this goes on. */
  const measured = async <T,>(name: string, during: Promise<T>): Promise<T> => {
    const [before, begin] = [processorSeconds(server.pid), performance.now()];
    const result = await during;
    const seconds = (performance.now() - begin) / 1000;
    const after = processorSeconds(server.pid);
    shares[name] = Object.fromEntries(
      Object.entries(after).map(([part, used]) => [part, (used - (before[part] ?? 0)) / seconds]),
    );
    return result;
  };
  const besideVsCode = async (): Promise<number> => {
    const workbench = await openWindow();
    const tokens = await measured('besideVsCode', outside());
    await workbench.close();
    return tokens;
  };
  const fromVsCode = async (name: string, dashboard: boolean): Promise<number> => {
    const before = runsIn(folder);
    const workbench = await openWindow();
    await workbench.command('Trickster: Train');
    await workbench.dashboard().locator('.chart-large canvas').waitFor();
    if (!dashboard) {
      const tab = workbench.page.locator('.tabs-container .tab').filter({ hasText: 'Trickster Dashboard' });
      await tab.click();
      await workbench.command('View: Close Editor');
      await tab.waitFor({ state: 'detached' });
    }
    await until('the run is there', () => runsIn(folder).length > before.length);
    const run = theOne(folder, before);
    // Asking the window, or too often, whether it has finished would take time from the training.
    await measured(
      name,
      until('it has finished', () => trainers(folder).length === 0, 600_000, 1000),
    );
    await workbench.runRow(path.basename(run)).filter({ hasText: 'finished' }).waitFor();
    await workbench.close();
    return tokensPerSecond(run);
  };

  const ways = {
    bare: outside,
    besideVsCode,
    withSidebar: () => fromVsCode('withSidebar', false),
    withDashboard: () => fromVsCode('withDashboard', true),
  };
  const names = Object.keys(ways) as (keyof typeof ways)[];
  const rounds: Record<keyof typeof ways, number>[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    const round = { bare: 0, besideVsCode: 0, withSidebar: 0, withDashboard: 0 };
    // Not always the same one first.
    for (const name of i % 2 === 0 ? names : names.toReversed()) {
      round[name] = await ways[name]();
    }
    rounds.push(round);
    report('speed, one round', { ...round, processor_shares: { ...shares } });
  }
  await server.stop();
  const against = (way: keyof typeof ways, other: keyof typeof ways): Record<string, number> => {
    const ratios = rounds.map((round) => round[way] / round[other]);
    return { median: median(ratios), least: Math.min(...ratios), most: Math.max(...ratios) };
  };
  report('speed of training from VS Code', {
    dashboard_against_bare: against('withDashboard', 'bare'),
    dashboard_against_vs_code_alone: against('withDashboard', 'besideVsCode'),
    sidebar_against_bare: against('withSidebar', 'bare'),
    sidebar_against_vs_code_alone: against('withSidebar', 'besideVsCode'),
    vs_code_alone_against_bare: against('besideVsCode', 'bare'),
    rounds,
  });
}

function runsIn(folder: string): string[] {
  const runs = path.join(folder, 'runs');
  return fs.existsSync(runs) ? fs.readdirSync(runs).map((name) => path.join(runs, name)) : [];
}

/** The one run that was not there before. */
function theOne(folder: string, before: readonly string[]): string {
  const [run, ...others] = runsIn(folder).filter((candidate) => !before.includes(candidate));
  assert.ok(run && others.length === 0, 'one new run');
  return run;
}

/** Tokens a second over a run without its first third, in which a window still settles, from the times of its events. */
function tokensPerSecond(run: string): number {
  const steps = fs
    .readFileSync(path.join(run, 'events.jsonl'), 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as { kind: string; step: number; tokens_per_s: number })
    .filter(({ kind }) => kind === 'step');
  const first = Math.ceil(steps.length / 3);
  let [done, time] = [0, 0]; // time in the tokens of one step a token a second
  steps.forEach(({ step, tokens_per_s: speed }, index) => {
    if (index >= first) {
      const made = step - (steps[index - 1]?.step ?? 0);
      done += made;
      time += made / speed;
    }
  });
  return done / time;
}

interface Process {
  pid: number;
  args: string;
}

/** A process and those that it started, and those that these did. */
function family(root: number): Process[] {
  const rows = execFileSync('ps', ['-eo', 'pid,ppid,args', 'ww'], { encoding: 'utf8' }).split('\n');
  const processes = rows
    .map((row) => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(row))
    .filter((match) => match !== null)
    .map(([, pid, parent, args]) => ({ pid: Number(pid), parent: Number(parent), args: args ?? '' }));
  const members = new Set([root]);
  for (let before = 0; before !== members.size;) {
    before = members.size;
    processes.filter(({ parent }) => members.has(parent)).forEach(({ pid }) => members.add(pid));
  }
  return processes.filter(({ pid }) => members.has(pid));
}

function extensionHost(root: number): number {
  return family(root).find(({ args }) => args.includes('--type=extensionHost'))?.pid ?? 0;
}

/** Processor time so far, in seconds, of VS Code's server below `root` and of the browser, by part. */
function processorSeconds(root: number): Record<string, number> {
  const server = new Set(family(root).map(({ pid }) => pid));
  const seconds: Record<string, number> = {};
  for (const { pid, args } of family(process.pid)) {
    const part = args.includes('trickster_server')
      ? 'language server'
      : args.includes('trickster_engine')
        ? 'trainer'
        : args.includes('--type=extensionHost')
          ? 'extension host'
          : server.has(pid)
            ? 'rest of VS Code'
            : pid === process.pid
              ? 'this measurement'
              : (/--type=([\w-]+)/.exec(args)?.[1] ?? 'main') + ' of the browser';
    try {
      const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
      const ticks = Number(fields[11]) + Number(fields[12]); // utime and stime, in hundredths of a second
      seconds[part] = (seconds[part] ?? 0) + ticks / 100;
    } catch {
      continue; // ended since
    }
  }
  return seconds;
}

function residentMegabytes(pid: number): number {
  const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8');
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024);
}

/** The JavaScript heap of the dashboard's page after a collection. */
async function heap(workbench: Workbench): Promise<number> {
  const body = await workbench.dashboard().locator('body').elementHandle();
  const bytes = await body.evaluate(() => {
    (globalThis as unknown as { gc?: () => void }).gc?.();
    return (performance as unknown as { memory: { usedJSHeapSize: number } }).memory.usedJSHeapSize;
  });
  return Math.round(bytes / 1e5) / 10;
}

const figures = { activation, 'first-step': firstStep, memory, speed };
const wanted = process.argv.slice(2);
for (const [name, measure] of Object.entries(figures)) {
  if (wanted.length === 0 || wanted.includes(name)) {
    await measure();
  }
}
await closeBrowser();
process.exit();
