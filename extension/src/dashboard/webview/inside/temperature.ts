import { h, setText } from '../dom';
import { percent, visibleText } from '../nextTokens';
import { palette, Picture } from './canvas';
import { FactsTable } from './facts';
import { entropy, softmax, type Seen } from './numbers';

const SHOWN = 20;
const LABELS = 30;

/** What temperature does to the distribution of the token after the text. */
export class Temperature {
  readonly element: HTMLElement;
  private readonly slider = h('input', {
    id: 'inside-temperature',
    type: 'range',
    min: 0,
    max: 2,
    step: 0.05,
    oninput: () => this.draw(),
  });
  private readonly value = h('output', { for: 'inside-temperature' });
  private readonly caption = h('p', { class: 'caption', 'aria-live': 'polite' });
  private readonly picture: Picture;
  private readonly facts = new FactsTable('Distribution of the next token');
  private seen: Seen | undefined;

  constructor() {
    this.slider.value = '1';
    this.picture = new Picture(
      (ctx, width, height) => this.paint(ctx, width, height),
      () => 170,
      { role: 'img', 'aria-label': 'Distribution of the next token; the table below has the same numbers' },
    );
    this.element = h(
      'section',
      { class: 'card temperature', 'aria-label': 'Temperature' },
      h('h2', {}, 'Temperature'),
      h('div', { class: 'row spread' }, h('label', { for: 'inside-temperature' }, 'Temperature'), this.value),
      this.slider,
      this.caption,
      this.picture.element,
      this.facts.element,
    );
  }

  show(seen: Seen): void {
    this.seen = seen;
    this.draw();
  }

  recolor(): void {
    this.picture.redraw();
  }

  private bars(): { text: string; own: number; tempered: number }[] {
    const { seen } = this;
    if (!seen) {
      return [];
    }
    const own = softmax(seen.logits.values, 1);
    const tempered = softmax(seen.logits.values, Number(this.slider.value));
    return seen.result.next
      .slice(0, SHOWN)
      .map(({ id, text }) => ({ text, own: own[id] ?? 0, tempered: tempered[id] ?? 0 }));
  }

  private draw(): void {
    const { seen } = this;
    if (!seen) {
      return;
    }
    const temperature = Number(this.slider.value);
    setText(this.value, temperature === 0 ? '0 (greedy)' : temperature.toFixed(2));
    const choices = Math.exp(entropy(softmax(seen.logits.values, temperature)));
    setText(
      this.caption,
      `The ${Math.min(SHOWN, seen.result.next.length)} likeliest tokens after the text. Perplexity ${choices.toFixed(1)}: as hard to guess as so many equally likely tokens. Outlined: temperature 1.`,
    );
    this.facts.show(() => ({
      head: ['Token', 'At temperature 1', `At ${temperature.toFixed(2)}`],
      rows: this.bars().map(({ text, own, tempered }) => [
        visibleText(text),
        percent(own),
        percent(tempered),
      ]),
    }));
    this.picture.redraw();
  }

  private paint(ctx: CanvasRenderingContext2D, width: number, height: number): void {
    const bars = this.bars();
    const colors = palette();
    const most = bars.reduce((top, { own, tempered }) => Math.max(top, own, tempered), 1e-4);
    const step = width / Math.max(1, bars.length);
    const full = height - LABELS;
    ctx.textAlign = 'center';
    ctx.textBaseline = 'top';
    bars.forEach(({ text, own, tempered }, index) => {
      const left = index * step + 2;
      const wide = Math.max(2, step - 4);
      ctx.fillStyle = colors.strong;
      ctx.fillRect(left, full * (1 - tempered / most), wide, (full * tempered) / most);
      ctx.strokeStyle = colors.text;
      ctx.strokeRect(left + 0.5, full * (1 - own / most) + 0.5, wide - 1, (full * own) / most);
      ctx.fillStyle = colors.soft;
      const label = visibleText(text);
      ctx.fillText(
        ctx.measureText(label).width > step ? label.slice(0, 2) : label,
        index * step + step / 2,
        full + 6,
      );
    });
  }
}
