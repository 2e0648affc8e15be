import type { InsideArray, InsideHead, InsideLens, InsideResult } from '../../../protocol';

/** Numbers as the server sends them, unpacked: row-major, the last axis fastest. Nothing here needs a page. */
export class Numbers {
  readonly values: Uint8Array | Int32Array | Float32Array;

  constructor({ shape, type, data }: InsideArray) {
    const text = atob(data);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) {
      bytes[i] = text.charCodeAt(i);
    }
    this.shape = shape;
    const kinds = { uint8: Uint8Array, int32: Int32Array, float32: Float32Array };
    this.values = new kinds[type](bytes.buffer);
    const expected = shape.reduce((product, axis) => product * axis, 1);
    if (this.values.length !== expected) {
      throw new Error(`${expected} numbers were announced and ${this.values.length} came.`);
    }
  }

  readonly shape: readonly number[];

  /** The number at these indices, one for each axis. */
  at(...indices: number[]): number {
    let offset = 0;
    indices.forEach((index, axis) => {
      offset = offset * (this.shape[axis] ?? 1) + index;
    });
    return this.values[offset] ?? NaN;
  }

  /** The last axis at these indices. */
  row(...indices: number[]): number[] {
    const length = this.shape.at(-1) ?? 0;
    let offset = 0;
    indices.forEach((index, axis) => {
      offset = offset * (this.shape[axis] ?? 1) + index;
    });
    return Array.from(this.values.subarray(offset * length, (offset + 1) * length));
  }
}

/** What a model computes for a text, unpacked once. */
export interface Seen {
  result: InsideResult;
  /** Weight between 0 and 255 by [layer, head, query, key]. */
  attention: Numbers | undefined;
  heads: readonly InsideHead[];
  lens: UnpackedLens | undefined;
  stream: { residual: Numbers; attention: Numbers; mlp: Numbers } | undefined;
  neurons: { ids: Numbers; activations: Numbers } | undefined;
  logits: Numbers;
}

interface UnpackedLens {
  ids: Numbers;
  probabilities: Numbers;
  nextProbability: Numbers;
  nextRank: Numbers;
  texts: InsideLens['texts'];
}

export function unpack(result: InsideResult): Seen {
  const { attention, heads, lens, stream, neurons, logits } = result;
  return {
    result,
    attention: attention ? new Numbers(attention) : undefined,
    heads: heads ?? [],
    lens: lens
      ? {
          ids: new Numbers(lens.ids),
          probabilities: new Numbers(lens.probabilities),
          nextProbability: new Numbers(lens.nextProbability),
          nextRank: new Numbers(lens.nextRank),
          texts: lens.texts,
        }
      : undefined,
    stream: stream
      ? {
          residual: new Numbers(stream.residual),
          attention: new Numbers(stream.attention),
          mlp: new Numbers(stream.mlp),
        }
      : undefined,
    neurons: neurons
      ? { ids: new Numbers(neurons.ids), activations: new Numbers(neurons.activations) }
      : undefined,
    logits: new Numbers(logits),
  };
}

export interface Guess {
  text: string;
  probability: number;
}

/** What the model says next after a layer (0: the embedding) at a token, the likeliest first. */
export function guesses(seen: Seen, depth: number, token: number): Guess[] {
  const { lens } = seen;
  if (!lens) {
    return [];
  }
  return lens.ids.row(depth, token).map((id, place) => ({
    text: lens.texts[String(id)] ?? `#${id}`,
    probability: lens.probabilities.at(depth, token, place),
  }));
}

/** What the model expected in the place of a token, the likeliest first. */
export function expected(seen: Seen, token: number): Guess[] {
  return token === 0 ? [] : guesses(seen, seen.result.model.layers, token - 1);
}

/** The tokens that a head looks at from one token, the most looked at first, as shares. */
export function looksAt(
  attention: Numbers,
  layer: number,
  head: number,
  query: number,
): { token: number; weight: number }[] {
  return attention
    .row(layer, head, query)
    .slice(0, query + 1)
    .map((weight, token) => ({ token, weight: weight / 255 }))
    .sort((a, b) => b.weight - a.weight);
}

/** Probabilities of all tokens at a temperature; 0 is greedy: all of it to the likeliest. */
export function softmax(logits: ArrayLike<number>, temperature: number): Float64Array {
  const all = Float64Array.from(logits);
  const most = all.reduce((a, b) => Math.max(a, b), -Infinity);
  const scale = Math.max(temperature, 1e-6);
  const weights = all.map((logit) => Math.exp((logit - most) / scale));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

/** Entropy in nats. */
export function entropy(probabilities: Float64Array): number {
  return probabilities.reduce((sum, p) => (p > 0 ? sum - p * Math.log(p) : sum), 0);
}

const BEHAVIOURS = {
  current: 'itself',
  previous: 'previous token',
  first: 'first token',
  same: 'same token',
  lineStart: 'line start',
  induction: 'induction',
} as const;

export type Behaviour = keyof typeof BEHAVIOURS;

/** What heads can do, with its name. */
export const BEHAVIOUR_NAMES = Object.entries(BEHAVIOURS) as [Behaviour, string][];

/**
 * What a head does most, with the share of its attention: in brackets where that is too little for a label, and "mixed"
 * where nothing was measured.
 */
export function behaviour(head: InsideHead | undefined): string {
  if (!head) {
    return 'mixed';
  }
  const label = head.label ?? most(head);
  const share = label && head[label];
  if (!label || share === null) {
    return label ? BEHAVIOURS[label] : 'mixed';
  }
  const words = `${BEHAVIOURS[label]} ${share.toFixed(2)}`;
  return head.label ? words : `(${words})`;
}

function most(head: InsideHead): Behaviour | null {
  const [first] = BEHAVIOUR_NAMES.map(([name]) => name)
    .filter((name) => head[name] !== null)
    .sort((one, other) => Number(head[other]) - Number(head[one]));
  return first ?? null;
}
