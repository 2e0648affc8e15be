import type { InsideComponentOptions, InsidePatchOptions } from '../../../protocol';

/** Which parts of the model are switched off, and which activations are taken from another text. */
export class Switches {
  off: readonly InsideComponentOptions[] = [];
  patches: readonly InsidePatchOptions[] = [];

  constructor(private readonly changed: () => void) {}

  has(part: InsideComponentOptions): boolean {
    return this.off.some((one) => componentName(one) === componentName(part));
  }

  toggle(part: InsideComponentOptions): void {
    this.off = this.has(part)
      ? this.off.filter((one) => componentName(one) !== componentName(part))
      : [...this.off, part];
    this.changed();
  }

  patch(patch: InsidePatchOptions): void {
    this.patches = [...this.patches, patch];
    this.changed();
  }

  unpatch(patch: InsidePatchOptions): void {
    this.patches = this.patches.filter((one) => one !== patch);
    this.changed();
  }

  clear(): void {
    this.off = [];
    this.patches = [];
    this.changed();
  }

  get empty(): boolean {
    return this.off.length === 0 && this.patches.length === 0;
  }
}

/** "layer 2, head 3". */
export function componentName({ part, layer, index }: InsideComponentOptions): string {
  switch (part) {
    case 'layer':
      return `layer ${layer}`;
    case 'attention':
      return `layer ${layer}, attention`;
    case 'mlp':
      return `layer ${layer}, MLP`;
    case 'head':
      return `layer ${layer}, head ${index ?? 0}`;
    case 'neuron':
      return `layer ${layer}, neuron ${index ?? 0}`;
  }
}
