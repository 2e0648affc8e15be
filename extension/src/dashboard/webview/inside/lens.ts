import { fill, h, setText } from '../dom';
import { percent, visibleText } from '../nextTokens';
import { FactsTable } from './facts';
import { guesses, type Seen } from './numbers';
import { guessWords } from './tokens';
import { shaded } from './tokenStrip';

/** The logit lens: what the model would say next if it ended after each layer. */
export class Lens {
  readonly element: HTMLElement;
  private readonly holder = h('div', { class: 'scroll', tabindex: 0, role: 'region' });
  private readonly detail = h('p', { class: 'detail' });
  private readonly facts = new FactsTable('Predictions after each layer');
  private cells: HTMLElement[][] = [];
  private seen: Seen | undefined;
  private marked: number | undefined;

  constructor(private readonly choose: (token: number) => void) {
    this.holder.setAttribute('aria-label', 'Logit lens: a column for each token, a row for each layer');
    this.holder.addEventListener('click', (event) => {
      const token = (event.target as HTMLElement).dataset['token'];
      if (token !== undefined) {
        this.choose(Number(token));
      }
    });
    this.element = h(
      'section',
      { class: 'card lens', 'aria-label': 'Logit lens' },
      h('h2', {}, 'Logit lens'),
      h(
        'p',
        { class: 'caption' },
        'What the model would predict next if it ended after each layer. The greener, the surer; underlined where it is the token that does follow.',
      ),
      this.holder,
      this.detail,
      this.facts.element,
    );
  }

  show(seen: Seen, token: number): void {
    if (!seen.lens) {
      return;
    }
    if (seen !== this.seen) {
      this.seen = seen;
      this.build(seen);
    }
    for (const cell of this.cells[this.marked ?? -1] ?? []) {
      cell.classList.remove('selected');
    }
    const column = this.cells[token] ?? [];
    column.forEach((cell) => cell.classList.add('selected'));
    this.marked = token;
    const [first] = column;
    if (first) {
      const left = first.offsetLeft;
      if (
        left < this.holder.scrollLeft + 110 ||
        left > this.holder.scrollLeft + this.holder.clientWidth - 30
      ) {
        this.holder.scrollLeft = left - this.holder.clientWidth / 2;
      }
    }
    const { layers } = seen.result.model;
    const follows = seen.result.tokens[token + 1];
    const chance = (depth: number): number => seen.lens?.nextProbability.at(depth, token) ?? NaN;
    setText(
      this.detail,
      follows
        ? `After token ${token} comes ${visibleText(follows.text)}: ${percent(chance(0))} at the embedding, ${percent(chance(layers))} at the output.`
        : 'Nothing follows the last token.',
    );
    this.facts.show(() => ({
      head: ['After', 'Predictions', 'Probability of what follows', 'Its rank'],
      rows: depthNames(layers).map((name, depth) => [
        name,
        guessWords(guesses(seen, depth, token)),
        follows ? percent(chance(depth)) : '–',
        follows ? String((seen.lens?.nextRank.at(depth, token) ?? 0) + 1) : '–',
      ]),
    }));
  }

  private build(seen: Seen): void {
    const { tokens, model } = seen.result;
    const { lens } = seen;
    const heads = tokens.map(({ text }, index) =>
      h('th', { scope: 'col', 'data-token': index }, visibleText(text)),
    );
    this.cells = heads.map((head) => [head]);
    const rows = depthNames(model.layers).map((name, depth) =>
      h(
        'tr',
        {},
        h('th', { scope: 'row' }, name),
        ...tokens.map((_, index) => {
          const likeliest = guesses(seen, depth, index);
          const right = lens?.nextRank.at(depth, index) === 0;
          const cell = h(
            'td',
            { 'data-token': index, class: right ? 'right' : '', title: guessWords(likeliest) },
            visibleText(likeliest[0]?.text ?? ''),
          );
          cell.style.background = shaded('charts-green', likeliest[0]?.probability ?? 0);
          this.cells[index]?.push(cell);
          return cell;
        }),
      ),
    );
    fill(
      this.holder,
      h(
        'table',
        { class: 'lens-table' },
        h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'After'), ...heads)),
        h('tbody', {}, ...rows),
      ),
    );
  }
}

/** The places of the residual stream, in the order that a token goes through them. */
export function depthNames(layers: number): string[] {
  return Array.from({ length: layers + 1 }, (_, depth) =>
    depth === 0 ? 'embedding' : depth === layers ? `layer ${depth - 1}: output` : `layer ${depth - 1}`,
  );
}
