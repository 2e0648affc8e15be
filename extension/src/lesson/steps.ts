/** The twelve steps of the lesson, in order. The ids are also those of the walkthrough in package.json. */
export interface Step {
  id: StepId;
  title: string;
  /** What is shown while the step is open. */
  invitation: string;
  /** What ticks it, for the tooltip. */
  evidence: string;
  command: string;
  action: string;
}

export type StepId =
  | 'decide'
  | 'setup'
  | 'data'
  | 'model'
  | 'config'
  | 'train'
  | 'watch'
  | 'compare'
  | 'learned'
  | 'scale'
  | 'experiment'
  | 'ownText';

export const STEPS: readonly Step[] = [
  {
    id: 'decide',
    title: 'Train or fine-tune?',
    invitation: 'start with a config',
    evidence: 'Ticked when the folder holds a config.',
    command: 'trickster.newConfig',
    action: 'New Config from Preset',
  },
  {
    id: 'setup',
    title: 'Set-up',
    invitation: 'find Python and PyTorch',
    evidence: 'Ticked when Python with PyTorch was found.',
    command: 'trickster.checkHardware',
    action: 'Check Hardware',
  },
  {
    id: 'data',
    title: 'Data',
    invitation: 'turn text into tokens',
    evidence: 'Ticked when the dataset lies ready.',
    command: 'trickster.prepare',
    action: 'Prepare Dataset',
  },
  {
    id: 'model',
    title: 'Model',
    invitation: 'before it has learned',
    evidence: 'Ticked when the untrained model was inspected.',
    command: 'trickster.inspect',
    action: 'Inspect Model',
  },
  {
    id: 'config',
    title: 'Config',
    invitation: 'hover over any number',
    evidence: 'Ticked when an open config has no errors.',
    command: 'trickster.openConfig',
    action: 'Open Config',
  },
  {
    id: 'train',
    title: 'Train',
    invitation: 'a few minutes on a laptop',
    evidence: 'Ticked by the first training step.',
    command: 'trickster.train',
    action: 'Train',
  },
  {
    id: 'watch',
    title: 'Watch it learn',
    invitation: 'from noise to verse',
    evidence: 'Ticked when the held-out loss falls below that of counting pairs of characters.',
    command: 'trickster.openDashboard',
    action: 'Open Dashboard',
  },
  {
    id: 'compare',
    title: 'Proof',
    invitation: 'beside a random twin',
    evidence: 'Ticked when a comparison was made.',
    command: 'trickster.compare',
    action: 'Compare with Random',
  },
  {
    id: 'learned',
    title: 'What it learned',
    invitation: 'and what it did not',
    evidence: 'Ticked when the report of a run with at least two evaluations was opened.',
    command: 'trickster.report',
    action: 'What Was Learned',
  },
  {
    id: 'scale',
    title: 'Scale up',
    invitation: 'what a bigger model costs',
    evidence: 'Ticked when a config larger than the trained model was opened.',
    command: 'trickster.newConfig',
    action: 'New Config from Preset',
  },
  {
    id: 'experiment',
    title: 'Experiment',
    invitation: 'change one thing',
    evidence: 'Ticked when a second run on the same text was measured after step 0.',
    command: 'trickster.tryExperiment',
    action: 'Try an Experiment',
  },
  {
    id: 'ownText',
    title: 'Your own text',
    invitation: 'any text is a corpus',
    evidence: 'Ticked by the first step of a run on your own text.',
    command: 'trickster.openConfig',
    action: 'Open Config',
  },
];
