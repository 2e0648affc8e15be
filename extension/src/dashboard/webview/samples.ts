import * as text from '../../ui/text';
import type { RunSeries } from './series';
import { fill, h, setText } from './dom';

const PLAY_INTERVAL_MS = 900;

/** The samples of a run on a slider: from noise to verse. Stays at the newest until somebody moves it. */
export class SampleTimeline {
  readonly element: HTMLElement;
  private readonly slider: HTMLInputElement;
  private readonly caption: HTMLElement;
  private readonly sample: HTMLElement;
  private readonly play: HTMLButtonElement;
  private readonly controls: HTMLElement;
  private series: RunSeries | undefined;
  private index: number | undefined;
  private timer = 0;

  constructor() {
    this.caption = h('p', { class: 'caption' });
    this.sample = h('pre', { class: 'sample', tabindex: 0, 'aria-label': 'Sample' });
    this.slider = h('input', {
      type: 'range',
      min: 0,
      max: 0,
      value: 0,
      'aria-label': 'Sample by training step',
      oninput: () => this.moveTo(Number(this.slider.value)),
    });
    this.play = h('button', { class: 'secondary', onclick: () => this.togglePlay() }, 'Play');
    this.controls = h('div', { class: 'row' }, this.play, this.slider);
    this.element = h(
      'section',
      { class: 'card samples', 'aria-label': 'Samples' },
      h('h2', {}, 'Sample'),
      this.caption,
      this.controls,
      this.sample,
    );
  }

  setSeries(series: RunSeries | undefined): void {
    if (series !== this.series) {
      this.stopPlaying();
      this.series = series;
      this.index = undefined;
    }
    this.draw();
  }

  draw(): void {
    const samples = this.series?.samples ?? [];
    const newest = samples.length - 1;
    const at = Math.min(this.index ?? newest, newest);
    const shown = samples[at];
    this.controls.hidden = samples.length < 2;
    if (!shown) {
      setText(this.caption, 'A sample appears at every evaluation. Before training it is noise.');
      fill(this.sample);
      delete this.sample.dataset['key'];
      this.sample.hidden = true;
      return;
    }
    this.sample.hidden = false;
    this.slider.max = String(newest);
    this.slider.value = String(at);
    const evaluation = this.series?.evals.findLast((event) => event.step <= shown.step);
    const words = [
      `Step ${text.count(shown.step)}`,
      evaluation ? `validation loss ${evaluation.val_loss.toFixed(2)}` : '',
    ];
    setText(this.caption, words.filter(Boolean).join(' · '));
    this.slider.setAttribute('aria-valuetext', this.caption.textContent);
    const key = `${shown.step} ${shown.t}`;
    if (this.sample.dataset['key'] !== key) {
      this.sample.dataset['key'] = key;
      fill(this.sample, h('b', {}, shown.prompt), text.printable(shown.text));
    }
  }

  private moveTo(index: number): void {
    const newest = (this.series?.samples.length ?? 0) - 1;
    this.index = index >= newest ? undefined : index;
    this.draw();
  }

  private togglePlay(): void {
    if (this.timer) {
      this.stopPlaying();
      return;
    }
    setText(this.play, 'Pause');
    this.moveTo(0);
    this.timer = window.setInterval(() => {
      if (this.index === undefined) {
        this.stopPlaying();
      } else {
        this.moveTo(this.index + 1);
      }
    }, PLAY_INTERVAL_MS);
  }

  private stopPlaying(): void {
    window.clearInterval(this.timer);
    this.timer = 0;
    setText(this.play, 'Play');
  }
}
