import assert from 'node:assert/strict';
import type { RunEvent } from '../../../extension/src/protocol';
import { BlockWriter } from '../../../extension/src/runs/samples';
import { suites } from './suites';

function evaluation(step: number): RunEvent {
  return { t: 0, kind: 'eval', step, train_loss: 1.4, val_loss: 1.5, perplexity: 4.48 };
}

function sample(step: number): RunEvent {
  return { t: 0, kind: 'sample', step, prompt: 'ROMEO:', text: '\nO night\n' };
}

function written(...events: RunEvent[]): string {
  let text = '';
  const writer = new BlockWriter(
    () => 'pico-001',
    (block) => (text += block),
  );
  events.forEach((event) => writer.take(event));
  return text;
}

suites.push(() =>
  describe('Samples', () => {
    it('joins an evaluation and its sample in one block', () => {
      const lines = written(evaluation(1200), sample(1200)).split('\n');
      assert.match(lines[0] ?? '', /^--- pico-001 · step 1,200 -+$/);
      assert.equal(lines[0]?.length, 78);
      assert.deepEqual(lines.slice(1), [
        'validation loss 1.500 · training loss 1.400 · perplexity 4.48',
        '',
        'ROMEO:',
        'O night',
        '',
        '',
      ]);
    });

    it('keeps control characters of noise out of the channel', () => {
      const noise: RunEvent = { t: 0, kind: 'sample', step: 0, prompt: 'A', text: '\u0000\u001bb\n' };
      assert.match(written(noise), /^A··b$/m);
    });

    it('writes an evaluation without a sample, and a sample without an evaluation', () => {
      const status: RunEvent = { t: 0, kind: 'status', status: 'training', step: 10, message: null };
      assert.match(written(evaluation(10), status), /validation loss/);
      assert.doesNotMatch(written(sample(10)), /validation/);
      assert.equal(written(evaluation(10), evaluation(20), status).match(/---+ pico/g)?.length, 2);
    });
  }),
);
