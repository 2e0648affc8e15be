import * as text from '../../../ui/text';
import { h, setText } from '../dom';
import { palette, Picture } from './canvas';
import { FactsTable } from './facts';
import type { Seen } from './numbers';

/** Width of the square in which one pair's angle is drawn, in pixels. */
const DIAL = 58;

/** RoPE: by how much each pair of a head's numbers is turned at the chosen token, as the hands of clocks. */
export class Rope {
  readonly element: HTMLElement;
  private readonly caption = h('p', { class: 'caption' });
  private readonly picture: Picture;
  private readonly facts = new FactsTable('RoPE’s angles');
  private frequencies: readonly number[] = [];
  private token = 0;

  constructor() {
    this.picture = new Picture(
      (ctx, width) => this.draw(ctx, width),
      (width) => DIAL * Math.ceil(this.frequencies.length / columnsIn(width)),
      { role: 'img', 'aria-label': 'RoPE’s angles; the table below has the same numbers' },
    );
    this.element = h(
      'section',
      { class: 'card rope', 'aria-label': 'Positions (RoPE)' },
      h('h2', {}, 'Positions (RoPE)'),
      this.caption,
      this.picture.element,
      this.facts.element,
    );
  }

  show({ result }: Seen, token: number): void {
    this.frequencies = result.model.ropeFrequencies;
    this.token = token;
    setText(
      this.caption,
      `Queries and keys are turned by their position before they are compared, pair by pair: the first pairs quickly, the last slowly. The hands show token ${token}; under each, after how many tokens it is round. Base ${result.model.ropeTheta}.`,
    );
    this.facts.show(() => ({
      head: ['Pair', 'Radians a token', 'Tokens a turn', `Degrees at token ${token}`],
      rows: this.frequencies.map((frequency, pair) => [
        String(pair),
        frequency.toPrecision(3),
        turn(frequency),
        (((frequency * token * 180) / Math.PI) % 360).toFixed(1),
      ]),
    }));
    this.picture.redraw();
  }

  recolor(): void {
    this.picture.redraw();
  }

  private draw(ctx: CanvasRenderingContext2D, width: number): void {
    const colors = palette();
    const columns = columnsIn(width);
    ctx.textAlign = 'center';
    ctx.textBaseline = 'bottom';
    this.frequencies.forEach((frequency, pair) => {
      const x = (pair % columns) * DIAL + DIAL / 2;
      const y = Math.floor(pair / columns) * DIAL + DIAL / 2 - 6;
      const radius = 17;
      ctx.lineWidth = 1;
      ctx.strokeStyle = colors.soft;
      ctx.beginPath();
      ctx.arc(x, y, radius, 0, 2 * Math.PI);
      ctx.stroke();
      const angle = frequency * this.token;
      ctx.lineWidth = 2;
      ctx.strokeStyle = colors.strong;
      ctx.beginPath();
      ctx.moveTo(x, y);
      ctx.lineTo(x + radius * Math.cos(angle), y - radius * Math.sin(angle)); // counterclockwise, as angles are
      ctx.stroke();
      ctx.fillStyle = colors.soft;
      ctx.fillText(turn(frequency), x, y + radius + 16);
    });
  }
}

function columnsIn(width: number): number {
  return Math.max(1, Math.floor(width / DIAL));
}

/** Tokens after which a pair is where it was. */
function turn(frequency: number): string {
  const tokens = (2 * Math.PI) / frequency;
  return tokens < 100 ? tokens.toFixed(1) : tokens < 10_000 ? text.count(tokens) : text.short(tokens);
}
