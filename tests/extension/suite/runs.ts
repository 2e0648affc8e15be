import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import * as vscode from 'vscode';
import { asOnPage } from '../../../extension/src/commands/experiment';
import { Configs } from '../../../extension/src/ui/configs';
import { comparisonOf, trainFact } from '../../../extension/src/lesson/evidence';
import type { RunInfo } from '../../../extension/src/protocol';
import { isMeasured, readsAnother, readsOtherTokens, textTable } from '../../../extension/src/runs/measures';
import { describe as inWords } from '../../../extension/src/runs/statusBar';
import { RunsTree } from '../../../extension/src/views/runsTree';
import { suites } from './suites';

const SHAKESPEARE = { name: 'shakespeare', fingerprint: 'a', train_characters: 900, val_characters: 100 };
const IN_PIECES = { ...SHAKESPEARE, fingerprint: 'c', train_tokens: 360, val_tokens: 40 };
const DIARY = { name: 'diary.txt', fingerprint: 'b', train_characters: 90, val_characters: 10 };

function run(name: string, fields: Partial<RunInfo> = {}): RunInfo {
  return {
    runId: name,
    name,
    runDirectory: `/runs/${name}`,
    configPath: null,
    state: 'finished',
    live: false,
    resumable: false,
    created: 0,
    next: 0,
    step: 1500,
    maxSteps: 1500,
    phases: [],
    trainLoss: 1.29,
    valLoss: 1.485,
    valStep: 1500,
    evaluations: 7,
    bestValLoss: 1.485,
    tokensPerSecond: 20_000,
    etaSeconds: null,
    seconds: null,
    parameters: 885_888,
    backend: 'torch',
    device: 'cpu',
    precision: 'fp32',
    baselines: {},
    bytesPerToken: 1,
    ownText: false,
    data: SHAKESPEARE,
    pid: null,
    error: null,
    advice: null,
    errorCode: null,
    notices: [],
    actions: [],
    checkpoints: [],
    ...fields,
  };
}

const BEGUN: Partial<RunInfo> = {
  state: 'training',
  live: true,
  step: 16,
  trainLoss: 2.531,
  valLoss: 5.54,
  valStep: 0,
  bestValLoss: 5.54,
};

suites.push(() =>
  describe('What is said of runs', () => {
    it('is the training loss until the first evaluation after step 0', () => {
      assert.equal(inWords(run('a', BEGUN)), 'step 16 of 1,500 · loss 2.53');
      assert.equal(inWords(run('a', { ...BEGUN, step: 0, trainLoss: null })), 'step 0 of 1,500');
      assert.equal(
        inWords(run('a', { ...BEGUN, step: 260, valStep: 250, valLoss: 1.878, bestValLoss: 1.878 })),
        'step 260 of 1,500 · val 1.88',
      );
      assert.equal(
        inWords(run('a', { ...BEGUN, live: false, state: 'stopped' })),
        'stopped at step 16 · loss 2.53',
      );
      assert.equal(inWords(run('a')), 'finished · best val 1.49');
    });

    it('is what was read of its text, where the engine has written it down', () => {
      assert.deepEqual(textTable(SHAKESPEARE), []);
      assert.deepEqual(textTable({ text: { table: [['Line ends', '40 LF'], ['Epochs'], 3] } }), [
        ['Line ends', '40 LF'],
      ]);
    });

    it('is what the finished run has come to, unless one trains', () => {
      const finished = run('pico-001');
      assert.equal(trainFact([finished]), 'pico-001: 1,500 steps · val 1.49');
      const stopped = run('pico-002', { ...BEGUN, live: false, state: 'stopped' });
      assert.equal(trainFact([stopped, finished]), 'pico-001: 1,500 steps · val 1.49');
      assert.equal(trainFact([run('pico-002', BEGUN), finished]), 'pico-002: step 16 · loss 2.53');
      assert.equal(trainFact([stopped]), 'pico-002: 16 steps · loss 2.53');
    });

    it('compares runs on the same text, measured after step 0', () => {
      const first = run('pico-001');
      const second = (fields: Partial<RunInfo>): string | undefined =>
        comparisonOf([run('second-001', fields), first].filter(isMeasured));
      assert.equal(second(BEGUN), undefined);
      assert.equal(second({ data: DIARY }), undefined);
      assert.equal(second({ data: {} }), undefined);
      assert.equal(second({ bestValLoss: 1.52 }), 'second-001 1.52 vs. pico-001 1.49');
      assert.equal(
        second({ bestValLoss: 1.95, live: true, state: 'training' }),
        'second-001 1.95 so far vs. pico-001 1.49',
      );
      const later = [run('diary-001', { data: DIARY }), run('wider-001', { bestValLoss: 1.4 }), first];
      assert.equal(comparisonOf(later.filter(isMeasured)), 'wider-001 1.40 vs. pico-001 1.49');
    });

    it('compares runs in other tokens on the same text in bits/byte', () => {
      const first = run('pico-001', { data: { ...SHAKESPEARE, train_tokens: 900, val_tokens: 100 } });
      const pieces = run('fast-001', { data: IN_PIECES, bytesPerToken: 2.5, bestValLoss: 3.4 });
      assert.ok(readsOtherTokens(pieces, first) && !readsAnother(pieces, first));
      assert.ok(!readsOtherTokens(first, first) && !readsOtherTokens(first, run('b', { data: DIARY })));
      assert.equal(
        comparisonOf([pieces, first].filter(isMeasured)),
        'fast-001 1.96 vs. pico-001 2.14 bits/byte',
      );
    });

    it('knows an edited text of the same length from the same text in other tokens', () => {
      const fields = { train_tokens: 900, val_tokens: 100 };
      const [before, after] = ['a', 'b'].map((fingerprint) =>
        run(fingerprint, { data: { ...SHAKESPEARE, ...fields, fingerprint }, baselines: { uniform: 5.545 } }),
      );
      assert.ok(before && after && readsAnother(before, after));
      const letters = run('char-001', { data: after.data, baselines: { uniform: 4.174 } });
      assert.ok(readsOtherTokens(before, letters));
    });

    it('knows another text only when both are known', () => {
      assert.ok(readsAnother(run('a'), run('b', { data: DIARY })));
      assert.ok(!readsAnother(run('a'), run('b')));
      assert.ok(!readsAnother(run('a'), run('b', { data: {} })));
      const unmarked = { ...SHAKESPEARE, fingerprint: undefined };
      assert.ok(!readsAnother(run('a', { data: unmarked }), run('b', { data: unmarked })));
    });
  }),
);

suites.push(() =>
  describe('Lists to choose from', () => {
    it('have the experiments as the page has them, and the baseline last', () => {
      const extension = vscode.extensions.getExtension('trickster.trickster')?.extensionPath ?? '';
      const lesson = path.join(extension, 'walkthroughs');
      const names = fs
        .readdirSync(path.join(lesson, 'configs/experiments'))
        .map((file) => path.basename(file, '.yaml'));
      const order = asOnPage(fs.readFileSync(path.join(lesson, 'experiment.md'), 'utf8'), names);
      assert.equal(order[0], 'longer-run');
      assert.equal(order.at(-1), 'baseline');
      assert.ok(order.indexOf('wider') < order.indexOf('bpe'));
      assert.deepEqual([...order].sort(), [...names].sort());
    });

    it('begin with the config that was used last', async () => {
      const folder = vscode.workspace.workspaceFolders?.[0]?.uri.fsPath ?? os.tmpdir();
      const place = path.join(folder, 'order');
      fs.mkdirSync(place);
      const configs = new Configs();
      const file = (name: string): string => path.join(place, `${name}.trickster.yaml`);
      const order = async (): Promise<string[]> =>
        (await configs.all())
          .map(({ fsPath }) => fsPath)
          .filter((fsPath) => path.dirname(fsPath) === place)
          .map((fsPath) => path.basename(fsPath, '.trickster.yaml'));
      try {
        ['old', 'older', 'edited'].forEach((name, index) => {
          fs.writeFileSync(file(name), 'model_config:\n  num_layers: 2\n');
          const time = [2000, 1000, 3000][index] ?? 0;
          fs.utimesSync(file(name), time, time);
        });
        assert.deepEqual(await order(), ['edited', 'old', 'older']);
        await vscode.window.showTextDocument(vscode.Uri.file(file('older')));
        assert.deepEqual(await order(), ['older', 'edited', 'old']);
      } finally {
        configs.dispose();
        await vscode.commands.executeCommand('workbench.action.closeActiveEditor');
        fs.rmSync(place, { recursive: true });
      }
    });

    it('draws the list anew only where another run is in it, so that no click is lost', () => {
      const changes = new vscode.EventEmitter<void>();
      const progress = new vscode.EventEmitter<ReadonlySet<string>>();
      let runs = [run('a')];
      const tree = new RunsTree({
        all: () => runs,
        get: (id) => runs.find(({ runId }) => runId === id),
        onDidChange: changes.event,
        onProgress: progress.event,
      });
      const drawn: (number | 'anew')[] = [];
      tree.onDidChangeTreeData((nodes) => drawn.push(nodes?.length ?? 'anew'));
      runs = [run('b'), run('a')];
      // The first list comes twice, as an answer and as a notification, before VS Code has asked for the rows.
      changes.fire();
      changes.fire();
      assert.deepEqual(drawn, ['anew', 2]);
      const rows = tree.getChildren();
      runs = [run('b', BEGUN), run('a')];
      changes.fire();
      progress.fire(new Set(['b']));
      assert.deepEqual(drawn, ['anew', 2, 2, 1]);
      assert.deepEqual(tree.getChildren(), rows);
      runs = [run('a')];
      changes.fire();
      assert.equal(drawn.at(-1), 'anew');
      assert.equal(tree.getChildren()[0], rows[1]);
      tree.dispose();
    });
  }),
);
