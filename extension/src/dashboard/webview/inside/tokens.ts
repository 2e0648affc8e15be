import { h, setText } from '../dom';
import { percent, visibleText } from '../nextTokens';
import { FactsTable } from './facts';
import { expected, type Guess, type Seen } from './numbers';
import { TokenStrip } from './tokenStrip';

/** The text, each token coloured by its loss; the one that is chosen is what the other pictures are about. */
export class Tokens {
  readonly element: HTMLElement;
  private readonly caption = h('p', { class: 'caption' });
  private readonly detail = h('p', { class: 'detail', 'aria-live': 'polite' });
  private readonly strip: TokenStrip;
  private readonly facts = new FactsTable('Tokens and losses');
  private seen: Seen | undefined;

  constructor(choose: (token: number) => void) {
    this.strip = new TokenStrip(
      'Tokens, coloured by loss. Use the left and right arrows to choose one.',
      'charts-red',
      choose,
    );
    this.element = h(
      'section',
      { class: 'card tokens', 'aria-label': 'Tokens and their loss' },
      h('h2', {}, 'Tokens and their loss'),
      this.caption,
      this.strip.element,
      this.detail,
      this.facts.element,
    );
  }

  show(seen: Seen, token: number): void {
    if (seen !== this.seen) {
      this.seen = seen;
      const { tokens, model, loss, leftOut } = seen.result;
      const uniform = Math.log(model.vocabSize);
      this.strip.show(
        tokens.map((one, index) => ({
          text: one.text,
          words: tokenWords(seen, index),
          shade: (one.loss ?? 0) / uniform,
        })),
      );
      const mean = loss === null ? '' : `Mean loss ${loss.toFixed(3)} nats/token.`;
      const left =
        leftOut > 0 ? ` The last ${leftOut} tokens do not fit into the model and are left out.` : '';
      setText(this.caption, `${mean} The redder, the less expected.${left}`);
      this.facts.show(() => ({
        head: ['Position', 'Token', 'Loss', 'Probability', 'Expected'],
        rows: tokens.map((one, index) => [
          String(index),
          visibleText(one.text),
          one.loss === null ? '–' : one.loss.toFixed(2),
          one.loss === null ? '–' : percent(Math.exp(-one.loss)),
          guessWords(expected(seen, index)),
        ]),
      }));
    }
    this.strip.mark(token);
    const chosen = seen.result.tokens[token];
    setText(
      this.detail,
      chosen ? `Token ${token}, ${visibleText(chosen.text)}: ${tokenWords(seen, token)}` : '',
    );
  }
}

function tokenWords(seen: Seen, index: number): string {
  const token = seen.result.tokens[index];
  if (!token || token.loss === null) {
    return 'nothing predicts the first token';
  }
  const loss = `loss ${token.loss.toFixed(2)}, probability ${percent(Math.exp(-token.loss))}`;
  const others = guessWords(expected(seen, index));
  return others ? `${loss}; expected ${others}` : loss;
}

/** Predictions with their probabilities, as a line. */
export function guessWords(list: readonly Guess[]): string {
  return list.map(({ text, probability }) => `${visibleText(text)} ${percent(probability)}`).join(', ');
}
