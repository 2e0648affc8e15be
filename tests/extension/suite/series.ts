import assert from 'node:assert/strict';
import { RunSeries } from '../../../extension/src/dashboard/webview/series';
import type { RunEvent, StatusEvent } from '../../../extension/src/protocol';
import { suites } from './suites';

function status(word: StatusEvent['status']): RunEvent {
  return { t: 0, kind: 'status', status: word, step: 0, message: null };
}

const ERROR: RunEvent = {
  t: 0,
  kind: 'error',
  code: 'nan-loss',
  message: 'Not a number',
  advice: 'Lower it.',
};
const WARNING: RunEvent = { t: 0, kind: 'warning', code: 'slow', message: 'Slow', advice: 'Wait.' };

function notices(...events: RunEvent[]): string[] {
  const series = new RunSeries();
  series.append(events);
  return series.notices.map(({ kind }) => kind);
}

suites.push(() =>
  describe('What the dashboard holds of a run', () => {
    it('shows why a run failed until it is resumed, and its warnings for good', () => {
      const failed = [status('training'), WARNING, ERROR, status('failed')];
      assert.deepEqual(notices(...failed), ['warning', 'error']);
      assert.deepEqual(notices(...failed, status('training'), status('finished')), ['warning']);
    });

    it('counts the time at work, not the time between attempts', () => {
      const series = new RunSeries();
      const told = (t: number, word: StatusEvent['status']): RunEvent => ({ ...status(word), t });
      const step = (t: number, at: number, speed: number): RunEvent => ({
        ...{ t, kind: 'step', step: at, loss: 1, lr: 0, grad_norm: 1 },
        ...{ tokens_per_s: speed, eta_s: null, mfu: null },
      });
      series.append([told(0, 'starting'), told(10, 'preparing'), told(40, 'training'), step(70, 10, 100)]);
      // It was killed, and resumed an hour later.
      series.append([told(3700, 'starting'), told(3710, 'training'), step(3730, 20, 300)]);
      series.append([told(3740, 'stopped'), told(9000, 'starting'), told(9010, 'finished')]);
      assert.equal(series.seconds, 70 + 40 + 10);
      assert.equal(series.meanSpeed(), 150);
    });

    it('shows the error of a run that was stopped after it', () => {
      assert.deepEqual(notices(status('training'), ERROR, status('stopped')), ['error']);
    });
  }),
);
