import * as text from '../../ui/text';
import { bitsPerByte, readsOtherTokens } from '../../runs/measures';
import type { RunInfo } from '../../protocol';
import type { Baseline } from './chartMarks';
import { StepChart } from './charts';
import { curveColor, type Curve } from './curves';
import { fill, h, setText } from './dom';
import { Layers } from './layers';
import { SampleTimeline } from './samples';
import { RunSeries } from './series';

/** The tab that shows a run learn: curves, samples, checkpoints. */
export class Learning {
  readonly elements: readonly HTMLElement[];
  private readonly lossChart = new StepChart({
    title: 'Loss (nats/token)',
    measure: 'loss',
    height: 280,
    losses: true,
    format: (value) => value.toFixed(2),
  });
  private readonly smallCharts = [
    new StepChart({
      title: 'Learning rate',
      measure: 'lr',
      height: 130,
      format: (value) => (value === 0 ? '0' : value.toExponential(1)),
    }),
    new StepChart({
      title: 'Gradient norm',
      measure: 'gradNorm',
      height: 130,
      format: (value) => value.toFixed(2),
    }),
    new StepChart({
      title: 'Tokens/s',
      measure: 'tokensPerS',
      height: 130,
      format: (value) => text.short(value),
    }),
  ];
  private readonly timeline = new SampleTimeline();
  private readonly phase = h('p', { class: 'caption' });
  private readonly layers = new Layers();
  private readonly checkpoints = h('div', { class: 'checkpoints' });

  constructor(private readonly openCheckpoint: (path: string) => void) {
    this.elements = [
      h('div', { class: 'learning-grid' }, this.lossChart.element, this.timeline.element),
      this.phase,
      h('div', { class: 'small-charts' }, ...this.smallCharts.map((chart) => chart.element)),
      this.layers.element,
      this.checkpoints,
    ];
  }

  /** Show `run`, with the curves of others over its own. */
  show(run: RunInfo, over: readonly RunInfo[], series: ReadonlyMap<string, RunSeries>): void {
    const shown = [run, ...over];
    const curves = shown.map((one, index): Curve => ({
      name: one.name,
      color: curveColor(index),
      series: series.get(one.runId) ?? new RunSeries(),
    }));
    const planned = run.live ? (run.maxSteps ?? undefined) : undefined;
    this.showLosses(run, shown, curves, planned);
    this.smallCharts.forEach((chart) => chart.setCurves(curves, [], run.phases, planned));
    this.timeline.setSeries(series.get(run.runId));
    this.layers.show(series.get(run.runId)?.layers);
    const phase = run.live
      ? run.phases.find(({ begin, end }) => run.step >= begin && run.step < end)
      : undefined;
    setText(this.phase, phase ? `${phase.name}: ${phase.meaning}.` : '');
    this.showCheckpoints(run);
  }

  recolor(): void {
    [this.lossChart, ...this.smallCharts].forEach((chart) => chart.recolor());
  }

  private showLosses(
    run: RunInfo,
    shown: readonly RunInfo[],
    curves: readonly Curve[],
    planned: number | undefined,
  ): void {
    const inBits =
      shown.some((other) => readsOtherTokens(run, other)) && shown.every((one) => one.bytesPerToken !== null);
    const scales = shown.map((one) => (inBits ? (bitsPerByte(one, 1) ?? 1) : 1));
    const baselines: Baseline[] = Object.entries(run.baselines).map(([name, value]) => ({
      name,
      value: (scales[0] ?? 1) * value,
    }));
    this.lossChart.setCurves(
      curves.map((curve, index) => ({ ...curve, scale: scales[index] ?? 1 })),
      baselines,
      run.phases,
      planned,
      inBits ? 'Loss (bits/byte, because the runs use different tokens)' : undefined,
    );
  }

  private showCheckpoints(run: RunInfo): void {
    const key = `${run.runId} ${run.checkpoints.map(({ path, best }) => `${path} ${best}`).join('|')}`;
    if (this.checkpoints.dataset['key'] === key) {
      return;
    }
    this.checkpoints.dataset['key'] = key;
    fill(
      this.checkpoints,
      h('h2', {}, 'Checkpoints'),
      run.checkpoints.length === 0
        ? h(
            'p',
            { class: 'caption' },
            'None yet. Each one opens in transformers directly, and in llama.cpp after a conversion.',
          )
        : h(
            'ul',
            {},
            ...[...run.checkpoints].reverse().map((checkpoint) =>
              h(
                'li',
                {},
                h(
                  'button',
                  {
                    class: 'checkpoint',
                    onclick: () => this.openCheckpoint(checkpoint.path),
                  },
                  h('b', {}, `step ${text.count(checkpoint.step)}`),
                  h('span', {}, checkpoint.valLoss === null ? '' : `val ${checkpoint.valLoss.toFixed(3)}`),
                  checkpoint.best && h('span', { class: 'tag' }, 'best'),
                ),
              ),
            ),
          ),
    );
  }
}
