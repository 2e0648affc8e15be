import { themeColor } from './dom';
import type { Measure, RunSeries } from './series';

/** One run as a chart draws it. */
export interface Curve {
  name: string;
  color: string;
  series: RunSeries;
  /** What its losses are multiplied by, to be in the unit of the chart; 1 where that is left out. */
  scale?: number;
}

/** What a chart shows of a curve. */
export interface Readable {
  measure: Measure;
  /** Also validation losses, baselines and phases. */
  losses?: boolean;
  format: (value: number) => string;
}

/** The colours of compared runs, in the order in which runs are added; all come from the theme. */
const CURVE_COLORS = [
  'charts-blue',
  'charts-purple',
  'charts-green',
  'charts-red',
  'charts-yellow',
  'terminal-ansiCyan',
] as const;

/** The theme's colour for the curve that is laid over `index` others. */
export function curveColor(index: number): string {
  return CURVE_COLORS[index % CURVE_COLORS.length] ?? CURVE_COLORS[0];
}

/** A curve's values at a step, or its last ones, as a legend has them; `named` puts the run's name in front. */
export function reading(
  { name, color, series, scale = 1 }: Curve,
  step: number | undefined,
  { measure, losses, format }: Readable,
  named: boolean,
): { color: string; words: string } {
  const last = series.steps.length - 1;
  const at = step === undefined ? last : Math.min(last, series.steps.lowerBound(step));
  const values: string[] = [];
  if (at >= 0) {
    values.push(`${losses ? 'training ' : ''}${format(scale * series.measures[measure].at(at))}`);
  }
  const evaluation = losses && series.evals.findLast((event) => step === undefined || event.step <= step);
  if (evaluation) {
    values.push(`validation ${format(scale * evaluation.val_loss)}`);
  }
  const label = named || losses ? `${name} ` : '';
  return {
    color: themeColor(color, '#48f'),
    words: `${label}${values.length > 0 ? values.join(' · ') : 'no values yet'}`,
  };
}
