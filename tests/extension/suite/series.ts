import assert from 'node:assert/strict';
import { RunSeries } from '../../../extension/src/dashboard/webview/series';
import type { RunEvent } from '../../../extension/src/protocol';
import { suites } from './suites';

function step(at: number, speed: number): RunEvent {
  return {
    ...{ t: at, kind: 'step', step: at, loss: 1, lr: 0, grad_norm: 1 },
    ...{ tokens_per_s: speed, eta_s: null, mfu: null },
  };
}

suites.push(() =>
  describe('What the charts draw of a run', () => {
    it('means the speed over all tokens and all of their time', () => {
      const series = new RunSeries();
      series.append([step(10, 100), step(20, 300)]);
      assert.equal(series.meanSpeed(), 150);
    });

    it('draws steps that a resumed run makes again in the place of the first ones', () => {
      const series = new RunSeries();
      series.append([step(10, 100), step(20, 300), step(30, 300), step(20, 100)]);
      assert.equal(series.steps.length, 2);
      assert.equal(series.meanSpeed(), 100);
    });
  }),
);
