import { fill, h, setText } from '../dom';
import { heatImage, Picture, rgb } from './canvas';
import { behaviour, type Seen } from './numbers';
import type { Choice } from './view';

interface Cell {
  layer: number;
  head: number;
  button: HTMLButtonElement;
  picture: Picture;
  label: HTMLElement;
}

/** All heads as small pictures: a row for each layer. The arrows go from one to the next. */
export class HeadGrid {
  readonly element = h('div', { class: 'head-grid', role: 'group', 'aria-label': 'Heads' });
  private cells: Cell[] = [];
  private images = new Map<Cell, HTMLCanvasElement>();
  private seen: Seen | undefined;
  private shape = '';

  constructor(
    private readonly choose: (layer: number, head: number) => void,
    private readonly isOff: (layer: number, head: number) => boolean,
  ) {}

  show(seen: Seen, { layer, head }: Choice): void {
    const { layers, heads } = seen.result.model;
    if (this.shape !== `${layers} ${heads}`) {
      this.shape = `${layers} ${heads}`;
      this.build(layers, heads);
    }
    if (seen !== this.seen) {
      this.seen = seen;
      this.recolor();
    }
    for (const cell of this.cells) {
      const one = seen.heads.find((each) => each.layer === cell.layer && each.head === cell.head);
      const chosen = cell.layer === layer && cell.head === head;
      const off = this.isOff(cell.layer, cell.head);
      cell.button.setAttribute('aria-pressed', String(chosen));
      cell.button.tabIndex = chosen ? 0 : -1;
      cell.button.classList.toggle('off', off);
      const words = off ? 'off' : behaviour(one);
      setText(cell.label, words);
      cell.button.title = `Layer ${cell.layer}, head ${cell.head}: ${words}`;
      cell.button.setAttribute('aria-label', cell.button.title);
    }
  }

  recolor(): void {
    this.images.clear();
    this.cells.forEach(({ picture }) => picture.redraw());
  }

  private build(layers: number, heads: number): void {
    const numbers = Array.from({ length: layers * heads }, (_, index) => index);
    this.cells = numbers.map((index) => this.cell(Math.floor(index / heads), index % heads));
    this.element.style.gridTemplateColumns = `auto repeat(${heads}, minmax(44px, 150px))`;
    fill(
      this.element,
      ...this.cells.flatMap((cell) =>
        cell.head === 0 ? [h('span', { class: 'hint' }, `Layer ${cell.layer}`), cell.button] : [cell.button],
      ),
    );
  }

  private cell(layer: number, head: number): Cell {
    const label = h('span', { class: 'hint' });
    const picture = new Picture(
      (ctx, width, height) => this.draw(cell, ctx, width, height),
      (width) => width,
      { class: 'picture square', 'aria-hidden': 'true' },
    );
    const button = h(
      'button',
      {
        class: 'attention-head',
        onclick: () => this.choose(layer, head),
        onkeydown: (event: KeyboardEvent) => this.key(event, cell),
      },
      picture.element,
      label,
    );
    const cell: Cell = { layer, head, button, picture, label };
    return cell;
  }

  private draw(cell: Cell, ctx: CanvasRenderingContext2D, width: number, height: number): void {
    const { attention, result } = this.seen ?? {};
    const count = result?.tokens.length ?? 0;
    if (!attention || count === 0) {
      return;
    }
    let image = this.images.get(cell);
    if (!image) {
      image = heatImage(
        count,
        count,
        rgb('charts-blue', '#3794ff'),
        (row, column) => attention.at(cell.layer, cell.head, row, column) / 255,
      );
      this.images.set(cell, image);
    }
    ctx.imageSmoothingEnabled = count > width;
    ctx.drawImage(image, 0, 0, width, height);
  }

  private key(event: KeyboardEvent, { layer, head }: Cell): void {
    const moves: Record<string, readonly [number, number]> = {
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
    };
    const [down, right] = moves[event.key] ?? [];
    if (down === undefined || right === undefined) {
      return;
    }
    event.preventDefault();
    const next = this.cells.find((cell) => cell.layer === layer + down && cell.head === head + right);
    if (next) {
      this.choose(next.layer, next.head);
      next.button.focus();
    }
  }
}
