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

    it('shows the error of a run that was stopped after it', () => {
      assert.deepEqual(notices(status('training'), ERROR, status('stopped')), ['error']);
    });
  }),
);
