import * as text from '../../ui/text';
import type { TokenProbability } from '../../protocol';
import { fill, h, setText } from './dom';

/** How many tokens are shown. */
export const BARS = 10;

/** The likeliest next tokens as bars; a click on one passes its text to `choose`. */
export class NextTokens {
  readonly element: HTMLElement;
  private readonly title = h('h2', {}, 'Next token');
  private readonly bars = h('ol', { class: 'bars' });

  constructor(
    private readonly choose: (text: string) => void,
    /** Where whoever adds tokens with the keyboard goes on, when there is no bar. */
    private readonly focusElsewhere: () => void,
  ) {
    this.element = h(
      'section',
      { class: 'card area-bars', 'aria-label': 'Next-token probabilities' },
      this.title,
      this.bars,
      h(
        'p',
        { class: 'hint' },
        'Click a character of the text to see its probability and the alternatives. Amber: below 35 %. Red: below 10 %.',
      ),
    );
  }

  /** Show tokens, the likeliest first; `drawn` is the id of the one that was sampled. */
  show(title: string, tokens: readonly TokenProbability[], drawn?: number): void {
    setText(this.title, title);
    const most = Math.max(0.0001, ...tokens.map((token) => token.probability));
    this.fill(
      ...tokens.slice(0, BARS).map((token) => {
        const bar = h('span', { class: 'bar' });
        bar.style.width = `${(100 * token.probability) / most}%`;
        return h(
          'li',
          { class: token.id === drawn ? 'drawn' : '' },
          h(
            'button',
            {
              'aria-label': `${visibleText(token.text)}, ${percent(token.probability)}. Add to the prompt.`,
              title: 'Add to the prompt',
              onclick: () => this.choose(token.text),
            },
            h('code', {}, visibleText(token.text)),
            h('span', { class: 'track' }, bar),
            h('span', { class: 'value' }, percent(token.probability)),
          ),
        );
      }),
    );
  }

  /** Say why there are none. */
  say(words: string): void {
    setText(this.title, 'Next token');
    this.fill(h('li', { class: 'caption' }, words));
  }

  private fill(...items: HTMLElement[]): void {
    const focused = document.hasFocus() && this.bars.contains(document.activeElement);
    fill(this.bars, ...items);
    if (focused) {
      const first = this.bars.querySelector('button');
      if (first) {
        first.focus();
      } else {
        this.focusElsewhere();
      }
    }
  }
}

export function percent(probability: number): string {
  return probability >= 0.1 ? `${(100 * probability).toFixed(0)} %` : `${(100 * probability).toFixed(1)} %`;
}

/** Blanks and line ends are tokens too. */
export function visibleText(token: string): string {
  const names: Record<string, string> = {
    ' ': 'space',
    '\n': 'new line',
    '\t': 'tab',
    '': 'part of a character',
  };
  return names[token] ?? text.printable(token.replaceAll('\n', '↵'));
}
