import assert from 'node:assert/strict';
import * as path from 'node:path';
import { coalesce } from '../../../extension/src/server/coalesce';
import { explainFailure, installerNews } from '../../../extension/src/python/managedEnvironment';
import { Cancelled, runProcess } from '../../../extension/src/python/processes';
import {
  canServe,
  canTrain,
  describeInterpreter,
  missingPackages,
  programsOnPath,
  resolveInterpreter,
  type Interpreter,
} from '../../../extension/src/python/interpreters';
import { CancellationTokenSource } from 'vscode';
import { suites } from './suites';

const COMPLETE: Interpreter = {
  path: '/usr/bin/python3',
  version: [3, 11, 7],
  source: 'path',
  packages: {
    torch: '2.13.0',
    numpy: '2.0',
    tokenizers: '0.22',
    safetensors: '0.6',
    tqdm: '4',
    yaml: '6',
  },
};

suites.push(() =>
  describe('Interpreters and processes', () => {
    it('knows which interpreter can do what', () => {
      assert.ok(canTrain(COMPLETE));
      assert.equal(describeInterpreter(COMPLETE), 'Python 3.11.7 · PyTorch 2.13.0');
      const old: Interpreter = { ...COMPLETE, version: [3, 9, 18] };
      assert.ok(!canServe(old) && !canTrain(old));
      const lacking: Interpreter = {
        ...COMPLETE,
        packages: { ...COMPLETE.packages, torch: null, tqdm: null },
      };
      assert.ok(canServe(lacking) && !canTrain(lacking));
      assert.deepEqual(missingPackages(lacking), ['PyTorch', 'tqdm']);
      assert.ok(canServe({ ...COMPLETE, version: [4, 0, 0] }));
    });

    it('finds the interpreter that a relative path or a bare name means', async () => {
      const folder = path.resolve('/somewhere', 'project');
      const absolute = path.join(folder, '.venv', 'bin', 'python');
      assert.equal(await resolveInterpreter('.venv/bin/python', folder), absolute);
      assert.equal(await resolveInterpreter(absolute, undefined), absolute);
      const onPath = await programsOnPath([process.platform === 'win32' ? 'python.exe' : 'python3']);
      assert.equal(
        await resolveInterpreter(process.platform === 'win32' ? 'python' : 'python3', folder),
        onPath[0],
      );
      assert.equal(await resolveInterpreter('no-such-python', folder), 'no-such-python');
    });

    it('collects what a process prints, line by line', async () => {
      const lines: string[] = [];
      const result = await runProcess(
        process.execPath,
        ['-e', 'console.log("a\\nb"); console.error("c"); process.exit(3)'],
        {
          onLine: (line) => lines.push(line),
          env: { ...process.env, ELECTRON_RUN_AS_NODE: '1' },
        },
      );
      assert.equal(result.code, 3);
      assert.equal(result.stdout, 'a\nb\n');
      assert.deepEqual(lines.sort(), ['a', 'b', 'c']);
    });

    it('ends a process with everything it started when it is cancelled', async () => {
      const source = new CancellationTokenSource();
      let child = 0;
      const running = runProcess('sh', ['-c', 'sleep 300 & echo $!; wait'], {
        token: source.token,
        onLine: (line) => {
          child = Number(line);
          source.cancel();
        },
      });
      await assert.rejects(running, Cancelled);
      assert.ok(child > 0);
      await assert.doesNotReject(gone(child));
    });

    it('says in plain words why an installer failed', () => {
      assert.match(explainFailure('ERROR: [Errno 28] No space left on device', 'pip'), /disk is full/);
      assert.match(
        explainFailure('ERROR: No matching distribution found for torch==2.13.0', 'pip'),
        /between 3.10 and 3.13/,
      );
      assert.match(explainFailure('Temporary failure in name resolution', 'pip'), /no connection/);
      assert.equal(
        explainFailure('one\nERROR: something odd\n\n', 'pip'),
        'pip failed: ERROR: something odd',
      );
    });

    it('turns the lines of installers into news', () => {
      assert.equal(installerNews('Collecting torch==2.13.0 (from -r x)'), 'looking up torch');
      assert.equal(
        installerNews('  Downloading torch-2.13.0-cp311-none-any.whl (190.2 MB)'),
        'downloading torch (190.2 MB)',
      );
      assert.equal(installerNews('Installing collected packages: a, b'), 'installing the packages');
      assert.equal(installerNews('anything else'), undefined);
    });

    it('makes one restart of many', async () => {
      let runs = 0;
      const restart = coalesce(async () => {
        runs++;
        await new Promise((resolve) => setImmediate(resolve));
      });
      await Promise.all([restart(), restart(), restart(), restart()]);
      assert.equal(runs, 2);
      await restart();
      assert.equal(runs, 3);
    });
  }),
);

/** Resolves when the process is gone, or only waits to be collected. */
async function gone(pid: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const { stdout } = await runProcess('ps', ['-o', 'stat=', '-p', String(pid)]);
    if (stdout.trim() === '' || stdout.trim().startsWith('Z')) {
      return;
    }
  }
  throw new Error(`${pid} is still there.`);
}
