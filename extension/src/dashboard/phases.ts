import type { Phase } from './contract';

/** The lesson's phases of a run: the learning rate rises, the model improves fast, then slowly. */
export function phasesOf(warmupSteps: number, maxSteps: number | null): Phase[] {
  if (!maxSteps) {
    return [];
  }
  const warm = Math.min(warmupSteps, maxSteps);
  const middle = Math.max(warm, Math.round(maxSteps / 2));
  const phases: Phase[] = [
    { name: 'Warm-up', meaning: 'the learning rate rises; the loss falls fast', from: 0, to: warm },
    { name: 'Main', meaning: 'steady improvement: letters, words, lines', from: warm, to: middle },
    {
      name: 'Refinement',
      meaning: 'smaller gains while the learning rate falls',
      from: middle,
      to: maxSteps,
    },
  ];
  return phases.filter((phase) => phase.to > phase.from);
}

/** The value of `warmup_steps` in the text of a config; undefined where the text does not name it. */
export function warmupIn(config: string): number | undefined {
  const match = /^\s+warmup_steps\s*:\s*([\d_]+)\s*(?:#.*)?$/m.exec(config);
  return match ? Number(match[1]?.replaceAll('_', '')) : undefined;
}
