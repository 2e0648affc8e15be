import type { InsideComponentOptions, InsidePatchOptions } from '../../../protocol';
import { fill, h, setText } from '../dom';
import { componentName } from './switches';
import type { Choice } from './view';

/** Asks for an activation of another text, to be put in the place of this text's own. */
export class PatchForm {
  readonly element: HTMLElement;
  private readonly from = h('textarea', { id: 'inside-patch-text', rows: 2, spellcheck: 'false' });
  private readonly component = h('select', { id: 'inside-patch-part' });
  private readonly position = h('input', {
    id: 'inside-patch-from',
    type: 'number',
    min: 0,
    step: 1,
    value: 0,
  });
  private readonly where = h('p', { class: 'hint' });
  private readonly button: HTMLButtonElement;
  private choice: Choice = { token: 0, layer: 0, head: 0 };
  private shape = '';

  constructor(patch: (patch: InsidePatchOptions) => void) {
    this.button = h(
      'button',
      {
        class: 'secondary',
        disabled: true,
        onclick: () =>
          patch({
            component: JSON.parse(this.component.value) as InsideComponentOptions,
            fromText: this.from.value,
            position: this.choice.token,
            fromPosition: Math.max(0, Math.round(Number(this.position.value))),
          }),
      },
      'Patch',
    );
    this.from.addEventListener('input', () => {
      this.button.disabled = this.from.value === '';
    });
    this.element = h(
      'details',
      { class: 'patch' },
      h('summary', {}, 'Patch an activation from another text'),
      h(
        'div',
        { class: 'controls' },
        h('div', { class: 'field' }, h('label', { for: 'inside-patch-text' }, 'Other text'), this.from),
        h(
          'div',
          { class: 'row fields' },
          h('div', { class: 'field' }, h('label', { for: 'inside-patch-part' }, 'What'), this.component),
          h(
            'div',
            { class: 'field' },
            h('label', { for: 'inside-patch-from' }, 'From its token (counted from 0)'),
            this.position,
          ),
          this.button,
        ),
        this.where,
      ),
    );
  }

  /** The token and the head that are chosen in the pictures. */
  setChoice(layers: number, choice: Choice): void {
    this.choice = choice;
    setText(this.where, `It is put in at token ${choice.token} of the text, which is the chosen one.`);
    const shape = `${layers} ${choice.layer} ${choice.head}`;
    if (shape !== this.shape) {
      this.shape = shape;
      const chosen = this.component.value;
      const parts: InsideComponentOptions[] = [
        ...Array.from({ length: layers }, (_, layer) =>
          (['layer', 'attention', 'mlp'] as const).map((part) => ({ part, layer })),
        ).flat(),
        { part: 'head', layer: choice.layer, index: choice.head },
      ];
      const options = parts.map((part) =>
        h(
          'option',
          { value: JSON.stringify(part) },
          part.part === 'layer' ? `residual stream after layer ${part.layer}` : componentName(part),
        ),
      );
      fill(this.component, ...options);
      this.component.value = options.find(({ value }) => value === chosen)?.value ?? options[0]?.value ?? '';
    }
  }
}
