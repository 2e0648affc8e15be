import { fill, h } from '../dom';

export interface Facts {
  /** What the columns say. */
  head: readonly string[];
  /** The first cell of a row names it. */
  rows: readonly (readonly string[])[];
}

/**
 * What a picture shows, as a table: for whom the picture says nothing, and for whoever wants the numbers. It is filled when
 * it is opened, so that a picture costs no table that nobody reads.
 */
export class FactsTable {
  readonly element: HTMLDetailsElement;
  private readonly holder = h('div', { class: 'scroll' });
  private facts: (() => Facts) | undefined;

  constructor(private readonly title: string) {
    this.element = h(
      'details',
      { class: 'as-table', ontoggle: () => this.draw() },
      h('summary', {}, `${title} as a table`),
      this.holder,
    );
  }

  /** These are the facts now. */
  show(facts: () => Facts): void {
    this.facts = facts;
    this.draw();
  }

  private draw(): void {
    if (this.element.open && this.facts) {
      fill(this.holder, table(this.title, this.facts()));
    }
  }
}

/** A table with a caption for screen readers. */
export function table(title: string, { head, rows }: Facts): HTMLTableElement {
  return h(
    'table',
    { class: 'figures' },
    h('caption', { class: 'visually-hidden' }, title),
    h('thead', {}, h('tr', {}, ...head.map((words) => h('th', { scope: 'col' }, words)))),
    h(
      'tbody',
      {},
      ...rows.map(([name = '', ...cells]) =>
        h('tr', {}, h('th', { scope: 'row' }, name), ...cells.map((words) => h('td', {}, words))),
      ),
    ),
  );
}
