import { bitsPerByte, isMeasured, readsAnother, readsOtherTokens } from '../../runs/measures';
import type { RunInfo } from '../../protocol';
import { curveColor } from './curves';
import { fill, h, setText } from './dom';
import { savedState, saveState } from './host';

/** The chips that lay other runs over the one in front. */
export class Overlays {
  readonly element = h('div', { class: 'chips', role: 'group', 'aria-label': 'Compare with other runs' });
  private chosen = new Set(savedState().compared ?? []);

  constructor(private readonly changed: () => void) {}

  /** The chosen runs whose curves can be laid over those of this one: the ones on the same text. */
  over(run: RunInfo, runs: readonly RunInfo[]): RunInfo[] {
    return [...this.chosen].flatMap(
      (runId) =>
        runs.find((other) => other.runId === runId && runId !== run.runId && !readsAnother(run, other)) ?? [],
    );
  }

  /** A run that comes to the front is no longer laid over another. */
  remove(runId: string): void {
    this.chosen.delete(runId);
    saveState({ compared: [...this.chosen] });
  }

  private toggle(runId: string): void {
    if (!this.chosen.delete(runId)) {
      this.chosen.add(runId);
    }
    saveState({ compared: [...this.chosen] });
    this.changed();
  }

  /** Draw the chips, in the colours of the curves of `over`; runs that are gone are forgotten. */
  show(run: RunInfo, runs: readonly RunInfo[], over: readonly RunInfo[]): void {
    this.chosen = new Set([...this.chosen].filter((runId) => runs.some((other) => other.runId === runId)));
    const all = runs.filter((other) => other.runId !== run.runId);
    const others = all.filter((other) => !readsAnother(run, other));
    const left = all.length - others.length;
    const key = [left, ...others.map((other) => other.runId)].join('|');
    if (this.element.dataset['key'] !== key) {
      this.element.dataset['key'] = key;
      this.element.hidden = all.length === 0;
      fill(
        this.element,
        h('span', { class: 'caption' }, others.length > 0 ? 'Compare with' : 'Nothing to compare with yet.'),
        ...others.map(({ runId }) =>
          h(
            'button',
            { class: 'chip', onclick: () => this.toggle(runId) },
            h('span', { class: 'swatch' }),
            h('span'),
          ),
        ),
        left > 0 &&
          h(
            'span',
            { class: 'caption left-out' },
            left === 1
              ? 'One run is not listed: its losses are on another text.'
              : `${left} runs are not listed: their losses are on other text.`,
          ),
      );
    }
    // In place: a chip that is replaced takes the keyboard's focus with it.
    others.forEach((other, index) => {
      const chip = this.element.children[index + 1];
      const [swatch, label] = chip?.children ?? [];
      if (chip && swatch && label) {
        const curve = over.indexOf(other) + 1;
        chip.setAttribute('aria-pressed', String(curve > 0));
        (swatch as HTMLElement).style.background =
          curve > 0 ? `var(--vscode-${curveColor(curve)}, #888)` : 'transparent';
        setText(label, chipLabel(run, other));
        chip.setAttribute('title', chipTitle(other));
      }
    });
  }
}

/** A run to compare with, and the lowest loss of it: in the unit that can be compared with the run in front. */
function chipLabel(run: RunInfo, other: RunInfo): string {
  if (!isMeasured(other)) {
    return other.name;
  }
  const bits = readsOtherTokens(run, other) ? bitsPerByte(other, other.bestValLoss) : undefined;
  return bits === undefined
    ? `${other.name} · ${other.bestValLoss.toFixed(2)}`
    : `${other.name} · ${bits.toFixed(2)} bits/byte`;
}

/** Its lowest validation loss in both units. */
function chipTitle(other: RunInfo): string {
  if (!isMeasured(other)) {
    return '';
  }
  const bits = bitsPerByte(other, other.bestValLoss);
  const nats = `${other.bestValLoss.toFixed(3)} nats/token`;
  return `Best validation loss: ${nats}${bits === undefined ? '' : `, ${bits.toFixed(3)} bits/byte`}`;
}
