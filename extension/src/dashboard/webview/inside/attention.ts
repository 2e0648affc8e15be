import { h, setText } from '../dom';
import { visibleText } from '../nextTokens';
import { heatImage, palette, Picture, rgb } from './canvas';
import { FactsTable } from './facts';
import { HeadGrid } from './headGrid';
import { BEHAVIOUR_NAMES, behaviour, looksAt, type Seen } from './numbers';
import { TokenStrip } from './tokenStrip';
import type { Choice } from './view';

/** Where each head looks: all of them small, the chosen one large, and its weights from one token laid over the text. */
export class Attention {
  readonly element: HTMLElement;
  private readonly grid: HeadGrid;
  private readonly title = h('h3');
  private readonly detail = h('p', { class: 'detail', 'aria-live': 'polite' });
  private readonly switchButton: HTMLButtonElement;
  private readonly effect = h('p', { class: 'verdict' });
  private readonly strip: TokenStrip;
  private readonly large: Picture;
  private readonly weights = new FactsTable('Where the chosen head looks');
  private readonly measured = new FactsTable('What each head does');
  private image: HTMLCanvasElement | undefined;
  private seen: Seen | undefined;
  private choice: Choice = { token: 0, layer: 0, head: 0 };
  /** The token that the pointer is over: it is shown in the place of the chosen one. */
  private pointed: number | undefined;

  constructor(
    choose: (change: Partial<Choice>) => void,
    private readonly isOff: (layer: number, head: number) => boolean,
    switchHead: (layer: number, head: number) => void,
  ) {
    this.grid = new HeadGrid((layer, head) => choose({ layer, head }), isOff);
    this.switchButton = h('button', {
      class: 'secondary switch-part',
      onclick: () => switchHead(this.choice.layer, this.choice.head),
    });
    const point = (token: number | undefined): void => {
      this.pointed = token;
      this.showQuery();
    };
    this.strip = new TokenStrip(
      'Tokens, coloured by how much the chosen token looks at them. Use the left and right arrows to choose another.',
      'charts-blue',
      (token) => choose({ token }),
      point,
    );
    this.large = new Picture(
      (ctx, width, height) => this.drawLarge(ctx, width, height),
      (width) => width,
      {
        class: 'picture square',
        role: 'img',
        'aria-label': 'Attention of the chosen head; the table below has the same weights',
        onpointermove: (event: PointerEvent) => point(this.rowAt(event)),
        onpointerleave: () => point(undefined),
        onclick: (event: MouseEvent) => {
          const token = this.rowAt(event);
          if (token !== undefined) {
            choose({ token });
          }
        },
      },
    );
    this.element = h(
      'section',
      { class: 'card attention', 'aria-label': 'Attention' },
      h('h2', {}, 'Attention'),
      h(
        'p',
        { class: 'caption' },
        'Each picture is one head: a row for each token; the stronger the colour, the more it looks at the token of that column. Below it, what the head does most and with how much of its attention: in brackets below 0.40. Choose a head, then point at a token to see where it looks.',
      ),
      this.grid.element,
      h(
        'div',
        { class: 'one-head' },
        h('div', { class: 'matrix' }, this.large.element),
        h(
          'div',
          { class: 'reading' },
          h('div', { class: 'row spread' }, this.title, this.switchButton),
          this.strip.element,
          this.detail,
          this.effect,
        ),
      ),
      this.weights.element,
      this.measured.element,
    );
  }

  show(seen: Seen, choice: Choice): void {
    const fresh = seen !== this.seen;
    const otherHead = fresh || choice.layer !== this.choice.layer || choice.head !== this.choice.head;
    this.seen = seen;
    this.choice = choice;
    if (fresh) {
      this.pointed = undefined;
      this.measured.show(() => headFacts(seen));
    }
    this.grid.show(seen, choice);
    if (otherHead) {
      this.image = undefined;
    }
    const { layer, head } = choice;
    const one = seen.heads.find((each) => each.layer === layer && each.head === head);
    setText(this.title, `Layer ${layer}, head ${head}: ${behaviour(one)}`);
    const off = this.isOff(layer, head);
    setText(this.switchButton, off ? 'Switch on' : 'Switch off');
    this.switchButton.setAttribute('aria-pressed', String(off));
    this.weights.show(() => ({
      head: ['Position', 'Token', `Weight from token ${choice.token}`],
      rows: (seen.attention ? looksAt(seen.attention, layer, head, choice.token) : []).map(
        ({ token, weight }) => [
          String(token),
          visibleText(seen.result.tokens[token]?.text ?? ''),
          weight.toFixed(2),
        ],
      ),
    }));
    this.showQuery();
  }

  /** What has become of the loss without the parts that are switched off. */
  setEffect(words: string): void {
    setText(this.effect, words);
  }

  recolor(): void {
    this.image = undefined;
    this.large.redraw();
    this.grid.recolor();
  }

  /** The weights of the token that is pointed at, or of the chosen one. */
  private showQuery(): void {
    const { seen } = this;
    if (!seen?.attention) {
      return;
    }
    const { layer, head } = this.choice;
    const query = Math.min(this.pointed ?? this.choice.token, seen.result.tokens.length - 1);
    const weights = seen.attention.row(layer, head, query);
    this.strip.show(
      seen.result.tokens.map(({ text }, index) => ({
        text,
        words: index > query ? 'not seen yet' : `weight ${((weights[index] ?? 0) / 255).toFixed(2)}`,
        shade: Math.sqrt((weights[index] ?? 0) / 255),
      })),
    );
    this.strip.mark(query);
    const name = (token: number): string => `${token} ${visibleText(seen.result.tokens[token]?.text ?? '')}`;
    const targets = looksAt(seen.attention, layer, head, query)
      .slice(0, 4)
      .filter(({ weight }) => weight >= 0.01)
      .map(({ token, weight }) => `${name(token)} (${weight.toFixed(2)})`);
    const where = targets.join(', ') || 'all tokens before it, at none more than 1 %';
    setText(this.detail, `Token ${name(query)} looks at ${where}`);
    this.large.redraw();
  }

  private rowAt(event: MouseEvent): number | undefined {
    const count = this.seen?.result.tokens.length ?? 0;
    const row = Math.floor((event.offsetY / this.large.element.clientHeight) * count);
    return row >= 0 && row < count ? row : undefined;
  }

  private drawLarge(ctx: CanvasRenderingContext2D, width: number, height: number): void {
    const { seen } = this;
    if (!seen?.attention) {
      return;
    }
    const count = seen.result.tokens.length;
    const { attention } = seen;
    const { layer, head } = this.choice;
    this.image ??= heatImage(
      count,
      count,
      rgb('charts-blue', '#3794ff'),
      (row, column) => attention.at(layer, head, row, column) / 255,
    );
    ctx.imageSmoothingEnabled = false;
    ctx.drawImage(this.image, 0, 0, width, height);
    const colors = palette();
    const query = Math.min(this.pointed ?? this.choice.token, count - 1);
    ctx.strokeStyle = colors.text;
    ctx.lineWidth = 1;
    ctx.strokeRect(0.5, (query * height) / count - 0.5, ((query + 1) * width) / count, height / count + 1);
    ctx.strokeStyle = colors.grid;
    ctx.strokeRect(0.5, 0.5, width - 1, height - 1);
  }
}

function headFacts(seen: Seen): { head: string[]; rows: string[][] } {
  const share = (value: number | null): string => (value === null ? '–' : value.toFixed(2));
  return {
    head: ['Head', 'Behaviour', ...BEHAVIOUR_NAMES.map(([, name]) => `To ${name}`), 'Entropy (nats)'],
    rows: seen.heads.map((head) => [
      `layer ${head.layer}, head ${head.head}`,
      behaviour(head),
      ...BEHAVIOUR_NAMES.map(([key]) => share(head[key])),
      head.entropy.toFixed(2),
    ]),
  };
}
