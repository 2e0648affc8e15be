import * as text from '../../../ui/text';
import { fill, h } from '../dom';
import { visibleText } from '../nextTokens';

export interface StripToken {
  text: string;
  /** What is said of it; also what a screen reader reads. */
  words: string;
  /** How strongly it is coloured, between 0 and 1. */
  shade: number;
  /** The theme's colour where it is not the strip's own. */
  color?: string;
}

let strips = 0;

/** The tokens of a text, each coloured by one number. The pointer and the arrows point at one of them. */
export class TokenStrip {
  readonly element: HTMLElement;
  private readonly prefix = `strip-${++strips}-`;
  private spans: HTMLElement[] = [];
  private signature = '';
  private at: number | undefined;

  constructor(
    label: string,
    /** The theme's colour of the shades. */
    private readonly color: string,
    /** A token was clicked or reached with the keyboard. */
    private readonly choose: (index: number) => void,
    /** The pointer is over a token, or over none. */
    private readonly point: (index: number | undefined) => void = () => undefined,
  ) {
    this.element = h('div', {
      class: 'token-strip',
      role: 'listbox',
      tabindex: 0,
      'aria-label': label,
      onkeydown: (event: KeyboardEvent) => this.key(event),
      onclick: (event: MouseEvent) => {
        const index = indexOf(event);
        if (index !== undefined) {
          this.choose(index);
        }
      },
      onpointerover: (event: PointerEvent) => this.point(indexOf(event)),
      onpointerleave: () => this.point(undefined),
    });
  }

  /** Show these; the elements stay where the texts do, so that hovering changes only colours. */
  show(tokens: readonly StripToken[]): void {
    const signature = tokens.map((token) => token.text).join('\u0000');
    if (signature !== this.signature) {
      this.signature = signature;
      this.spans = tokens.map((token, index) =>
        h(
          'span',
          { id: `${this.prefix}${index}`, role: 'option', 'data-index': index },
          shownText(token.text),
        ),
      );
      fill(this.element, ...this.spans);
      this.at = undefined;
    }
    tokens.forEach(({ words, shade, text: own, color = this.color }, index) => {
      const span = this.spans[index];
      if (span) {
        span.style.background = shaded(color, shade);
        span.title = words;
        span.setAttribute('aria-label', `${index}, ${visibleText(own)}${words ? `, ${words}` : ''}`);
      }
    });
  }

  /** Mark one of them. */
  mark(index: number | undefined): void {
    if (this.at !== undefined) {
      this.spans[this.at]?.classList.remove('selected');
      this.spans[this.at]?.setAttribute('aria-selected', 'false');
    }
    this.at = index;
    const span = index === undefined ? undefined : this.spans[index];
    if (span) {
      span.classList.add('selected');
      span.setAttribute('aria-selected', 'true');
      this.element.setAttribute('aria-activedescendant', span.id);
      keepInSight(this.element, span);
    } else {
      this.element.removeAttribute('aria-activedescendant');
    }
  }

  private key(event: KeyboardEvent): void {
    const moves: Record<string, number> = {
      ArrowLeft: -1,
      ArrowRight: 1,
      Home: -this.spans.length,
      End: this.spans.length,
    };
    const move = moves[event.key];
    if (move !== undefined && this.spans.length > 0) {
      event.preventDefault();
      this.choose(Math.max(0, Math.min(this.spans.length - 1, (this.at ?? -1) + move)));
    }
  }
}

/** A colour of the theme, `share` of it. */
export function shaded(color: string, share: number): string {
  const part = Math.round(70 * Math.max(0, Math.min(1, share)));
  return part === 0 ? 'transparent' : `color-mix(in srgb, var(--vscode-${color}) ${part}%, transparent)`;
}

function shownText(token: string): string {
  return token === '' ? '·' : text.printable(token.replaceAll('\n', '↵\n'));
}

function indexOf(event: Event): number | undefined {
  const index = (event.target as HTMLElement).dataset['index'];
  return index === undefined ? undefined : Number(index);
}

/** Scroll the strip, and nothing around it. */
function keepInSight(strip: HTMLElement, span: HTMLElement): void {
  const top = span.offsetTop - strip.offsetTop;
  if (top < strip.scrollTop || top + span.offsetHeight > strip.scrollTop + strip.clientHeight) {
    strip.scrollTop = top - strip.clientHeight / 2;
  }
}
