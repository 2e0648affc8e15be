import assert from 'node:assert/strict';
import { Latest } from '../../../extension/src/dashboard/webview/inside/latest';
import {
  behaviour,
  entropy,
  expected,
  looksAt,
  Numbers,
  softmax,
  unpack,
} from '../../../extension/src/dashboard/webview/inside/numbers';
import { componentName, Switches } from '../../../extension/src/dashboard/webview/inside/switches';
import type { InsideArray, InsideHead, InsideResult } from '../../../extension/src/protocol';
import { suites } from './suites';

/** Numbers packed as `docs/protocol.md` says, by Node's own writers of bytes. */
function packed(type: InsideArray['type'], shape: number[], values: readonly number[]): InsideArray {
  const size = type === 'uint8' ? 1 : 4;
  const bytes = Buffer.alloc(values.length * size);
  values.forEach((value, index) => {
    if (type === 'uint8') {
      bytes.writeUInt8(value, index);
    } else if (type === 'int32') {
      bytes.writeInt32LE(value, 4 * index);
    } else {
      bytes.writeFloatLE(value, 4 * index);
    }
  });
  return { shape, type, data: bytes.toString('base64') };
}

const HEAD: InsideHead = {
  ...{ layer: 1, head: 2, label: 'previous', current: 0.1, previous: 0.75 },
  ...{ first: 0.05, same: null, lineStart: null, induction: 0, entropy: 0.6 },
};

const RESULT: InsideResult = {
  checkpoint: null,
  step: 0,
  model: {
    ...{ layers: 1, heads: 1, kvHeads: 1, headDim: 2, hiddenDim: 2, mlpDim: 2, vocabSize: 3, maxSeqLen: 4 },
    ...{ tieEmbeddings: true, ropeTheta: 10_000, ropeFrequencies: [1] },
  },
  text: 'ab',
  leftOut: 0,
  tokens: [
    { id: 0, text: 'a', loss: null, rank: null },
    { id: 1, text: 'b', loss: 0.5, rank: 0 },
  ],
  loss: 0.5,
  next: [],
  logits: packed('float32', [3], [0, 1, 2]),
  attentionLayers: [0],
  attention: packed('uint8', [1, 1, 2, 2], [255, 0, 51, 204]),
  heads: [HEAD],
  lens: {
    ids: packed('int32', [2, 2, 2], [0, 2, 1, 0, 1, 2, 2, 1]),
    probabilities: packed('float32', [2, 2, 2], [0.5, 0.25, 0.5, 0.25, 0.75, 0.125, 0.5, 0.25]),
    nextProbability: packed('float32', [2, 2], [0.25, NaN, 0.75, NaN]),
    nextRank: packed('int32', [2, 2], [1, -1, 0, -1]),
    texts: { '0': 'a', '1': 'b', '2': 'c' },
  },
  stream: null,
  neurons: null,
  seconds: 0,
};

suites.push(() =>
  describe('What the tab Inside reads from the server', () => {
    it('unpacks numbers of every kind at their places', () => {
      for (const [type, values] of [
        ['uint8', [0, 1, 254, 255, 7, 8]],
        ['int32', [-1, 0, 2 ** 31 - 1, -(2 ** 31), 5, 6]],
        ['float32', [0.5, -0.25, 1e-8, Infinity, 3, 4].map(Math.fround)],
      ] as const) {
        const numbers = new Numbers(packed(type, [1, 2, 3], values));
        assert.deepEqual([...numbers.values], values);
        assert.equal(numbers.at(0, 1, 2), values[5]);
        assert.deepEqual(numbers.row(0, 1), values.slice(3));
      }
    });

    it('refuses numbers that are not as many as was said', () => {
      assert.throws(() => new Numbers(packed('uint8', [2, 2], [1, 2, 3])), /4 numbers .* 3 came/);
    });

    it('finds where a head looks and what was expected in a place', () => {
      const seen = unpack(RESULT);
      assert.ok(seen.attention);
      assert.deepEqual(looksAt(seen.attention, 0, 0, 0), [{ token: 0, weight: 1 }]); // nothing later
      assert.deepEqual(looksAt(seen.attention, 0, 0, 1), [
        { token: 1, weight: 0.8 },
        { token: 0, weight: 0.2 },
      ]);
      // The output's prediction at the token before: 75 % b, 12.5 % c.
      assert.deepEqual(expected(seen, 1), [
        { text: 'b', probability: 0.75 },
        { text: 'c', probability: 0.125 },
      ]);
      assert.deepEqual(expected(seen, 0), []);
    });

    it('divides logits by the temperature', () => {
      // ln of 1 to 4: at temperature 1 their shares are 1 to 4 tenths, at 1/2 those of their squares.
      const logits = [1, 2, 3, 4].map(Math.log);
      const near = (shares: Float64Array, wanted: readonly number[]): void =>
        shares.forEach((share, index) => assert.ok(Math.abs(share - (wanted[index] ?? NaN)) < 1e-12));
      near(softmax(logits, 1), [0.1, 0.2, 0.3, 0.4]);
      near(softmax(logits, 0.5), [1 / 30, 4 / 30, 9 / 30, 16 / 30]);
      near(softmax(logits, 0), [0, 0, 0, 1]);
      assert.ok(Math.abs(entropy(softmax([5, 5, 5, 5], 1)) - Math.log(4)) < 1e-12);
      assert.equal(entropy(softmax(logits, 0)), 0);
    });

    it('calls a head by what it does most clearly', () => {
      assert.equal(behaviour(HEAD), 'previous token 0.75');
      assert.equal(behaviour({ ...HEAD, label: null }), '(previous token 0.75)');
      assert.equal(behaviour(undefined), 'mixed');
    });

    it('switches parts off and on again, each by itself', () => {
      let changes = 0;
      const switches = new Switches(() => changes++);
      switches.toggle({ part: 'head', layer: 1, index: 2 });
      switches.toggle({ part: 'layer', layer: 1 });
      assert.deepEqual(switches.off.map(componentName), ['layer 1, head 2', 'layer 1']);
      assert.ok(!switches.has({ part: 'neuron', layer: 1, index: 2 }));
      switches.toggle({ part: 'head', layer: 1, index: 2 });
      assert.deepEqual(switches.off.map(componentName), ['layer 1']);
      switches.clear();
      assert.ok(switches.empty);
      assert.equal(changes, 4);
    });

    it('does of all that is asked while it works only the last', async () => {
      const latest = new Latest();
      const done: number[] = [];
      let release = (): void => undefined;
      const first = new Promise<void>((resolve) => (release = resolve));
      const last = new Promise<void>((resolve) => {
        latest.run(async () => {
          await first;
          done.push(1);
        });
        latest.run(() => {
          done.push(2);
          return Promise.resolve();
        });
        latest.run(() => {
          done.push(3);
          resolve();
          return Promise.resolve();
        });
      });
      release();
      await last;
      assert.deepEqual(done, [1, 3]);
    });
  }),
);
