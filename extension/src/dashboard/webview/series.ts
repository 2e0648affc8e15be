import type { EvalEvent, LayersEvent, RunEvent, SampleEvent } from '../../protocol';

/** A growing column of numbers, eight bytes each. */
class Column {
  private data = new Float64Array(1024);
  length = 0;

  push(value: number): void {
    if (this.length === this.data.length) {
      const bigger = new Float64Array(this.data.length * 2);
      bigger.set(this.data);
      this.data = bigger;
    }
    this.data[this.length++] = value;
  }

  at(index: number): number {
    return this.data[index] ?? NaN;
  }

  /** Index of the first value that is not below `value`; the column must rise. */
  lowerBound(value: number): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.at(middle) < value) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
}

export type Measure = 'loss' | 'lr' | 'gradNorm' | 'tokensPerS';

/** What the charts draw of one run: the curves as numbers, evaluations and samples as events. */
export class RunSeries {
  readonly steps = new Column();
  readonly measures: Readonly<Record<Measure, Column>> = {
    loss: new Column(),
    lr: new Column(),
    gradNorm: new Column(),
    tokensPerS: new Column(),
  };
  evals: EvalEvent[] = [];
  samples: SampleEvent[] = [];
  layers: LayersEvent | undefined;

  /** Take events in the order of the file. */
  append(events: readonly RunEvent[]): void {
    for (const event of events) {
      switch (event.kind) {
        case 'step':
          this.rewind(event.step);
          this.steps.push(event.step);
          this.measures.loss.push(event.loss);
          this.measures.lr.push(event.lr);
          this.measures.gradNorm.push(event.grad_norm);
          this.measures.tokensPerS.push(event.tokens_per_s);
          break;
        case 'eval':
          this.evals = [...dropFrom(this.evals, event.step), event];
          break;
        case 'sample':
          this.samples = [...this.samples.filter((sample) => sample.step < event.step), event];
          break;
        case 'layers':
          this.layers = event;
          break;
        case 'status':
        case 'baselines':
        case 'checkpoint':
        case 'warning':
        case 'error':
        case 'action':
          break;
      }
    }
  }

  /** Tokens a second over all steps: all of their tokens by all of their time. Undefined before the first. */
  meanSpeed(): number | undefined {
    const speeds = this.measures.tokensPerS;
    let steps = 0;
    let time = 0; // in seconds, but for the tokens of a step, which every step has as many of
    for (let i = 0; i < this.steps.length; i++) {
      const done = this.steps.at(i) - (i > 0 ? this.steps.at(i - 1) : 0);
      if (speeds.at(i) > 0) {
        steps += done;
        time += done / speeds.at(i);
      }
    }
    return time > 0 ? steps / time : undefined;
  }

  /** A resumed run goes over some steps again: the new ones replace the old. */
  private rewind(step: number): void {
    if (this.steps.length > 0 && step <= this.steps.at(this.steps.length - 1)) {
      const keep = this.steps.lowerBound(step);
      this.steps.length = keep;
      for (const column of Object.values(this.measures)) {
        column.length = keep;
      }
    }
  }

  lastStep(): number {
    return this.steps.length > 0 ? this.steps.at(this.steps.length - 1) : 0;
  }
}

function dropFrom(evals: readonly EvalEvent[], step: number): EvalEvent[] {
  return evals.filter((evaluation) => evaluation.step < step);
}

/**
 * A curve thinned to what can be seen: of the points that fall on one column of pixels, the lowest and the highest.
 * `from` and `to` are in steps. Returns points in the order of their steps.
 */
export function thin(
  series: RunSeries,
  measure: Measure,
  from: number,
  to: number,
  columns: number,
): [number[], number[]] {
  const { steps } = series;
  const values = series.measures[measure];
  // One point beyond either edge, so that the line runs out of the picture.
  const first = Math.max(0, steps.lowerBound(from) - 1);
  const last = Math.min(steps.length, steps.lowerBound(to) + 1);
  const xs: number[] = [];
  const ys: number[] = [];
  if (last - first <= 2 * columns) {
    for (let i = first; i < last; i++) {
      xs.push(steps.at(i));
      ys.push(values.at(i));
    }
    return [xs, ys];
  }
  const width = (to - from) / columns;
  let i = first;
  while (i < last) {
    const end = steps.at(i) < from ? from : steps.at(i) + width;
    let low = i;
    let high = i;
    let j = i;
    while (j < last && (j === i || steps.at(j) < end)) {
      if (values.at(j) < values.at(low)) {
        low = j;
      }
      if (values.at(j) > values.at(high)) {
        high = j;
      }
      j++;
    }
    for (const k of low === high ? [low] : [Math.min(low, high), Math.max(low, high)]) {
      xs.push(steps.at(k));
      ys.push(values.at(k));
    }
    i = j;
  }
  return [xs, ys];
}
