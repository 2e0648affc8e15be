import * as vscode from 'vscode';

/** The steps of the lesson, in order. The ids are also those of the walkthrough in package.json. */
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
  | 'ownText'
  | 'head'
  | 'update'
  | 'diagnose';

export const STEPS: readonly Step[] = [
  {
    id: 'decide',
    title: vscode.l10n.t('Train or fine-tune?'),
    invitation: vscode.l10n.t('start with a config'),
    evidence: vscode.l10n.t('Ticked when the folder contains a config.'),
    command: 'trickster.newConfig',
    action: vscode.l10n.t('New Config from Preset'),
  },
  {
    id: 'setup',
    title: vscode.l10n.t('Set-up'),
    invitation: vscode.l10n.t('find Python and PyTorch'),
    evidence: vscode.l10n.t('Ticked when Python with PyTorch was found.'),
    command: 'trickster.checkHardware',
    action: vscode.l10n.t('Check Hardware'),
  },
  {
    id: 'data',
    title: vscode.l10n.t('Data'),
    invitation: vscode.l10n.t('turn text into tokens'),
    evidence: vscode.l10n.t('Ticked when the dataset is ready.'),
    command: 'trickster.prepare',
    action: vscode.l10n.t('Prepare Dataset'),
  },
  {
    id: 'model',
    title: vscode.l10n.t('Model'),
    invitation: vscode.l10n.t('before training'),
    evidence: vscode.l10n.t('Ticked when you have inspected the untrained model.'),
    command: 'trickster.inspect',
    action: vscode.l10n.t('Inspect Model'),
  },
  {
    id: 'config',
    title: vscode.l10n.t('Config'),
    invitation: vscode.l10n.t('hover over any number'),
    evidence: vscode.l10n.t('Ticked when an open config has no errors.'),
    command: 'trickster.openConfig',
    action: vscode.l10n.t('Open Config'),
  },
  {
    id: 'train',
    title: vscode.l10n.t('Train'),
    invitation: vscode.l10n.t('a few minutes on a laptop'),
    evidence: vscode.l10n.t('Ticked by the first training step.'),
    command: 'trickster.train',
    action: vscode.l10n.t('Train'),
  },
  {
    id: 'watch',
    title: vscode.l10n.t('Watch it learn'),
    invitation: vscode.l10n.t('from noise to verse'),
    evidence: vscode.l10n.t('Ticked when the validation loss falls below the bigram baseline.'),
    command: 'trickster.openDashboard',
    action: vscode.l10n.t('Open Dashboard'),
  },
  {
    id: 'compare',
    title: vscode.l10n.t('Proof'),
    invitation: vscode.l10n.t('beside an untrained model'),
    evidence: vscode.l10n.t('Ticked when you have made a comparison.'),
    command: 'trickster.compare',
    action: vscode.l10n.t('Compare with Untrained Model'),
  },
  {
    id: 'learned',
    title: vscode.l10n.t('What it learned'),
    invitation: vscode.l10n.t('and what it did not'),
    evidence: vscode.l10n.t('Ticked when you have opened the report of a run with at least two evaluations.'),
    command: 'trickster.report',
    action: vscode.l10n.t('Training Report'),
  },
  {
    id: 'scale',
    title: vscode.l10n.t('Scale up'),
    invitation: vscode.l10n.t('what a bigger model costs'),
    evidence: vscode.l10n.t('Ticked when you have opened a config larger than the trained model.'),
    command: 'trickster.newConfig',
    action: vscode.l10n.t('New Config from Preset'),
  },
  {
    id: 'experiment',
    title: vscode.l10n.t('Experiment'),
    invitation: vscode.l10n.t('change one thing'),
    evidence: vscode.l10n.t('Ticked when a second run on the same text was evaluated after step 0.'),
    command: 'trickster.tryExperiment',
    action: vscode.l10n.t('Try an Experiment'),
  },
  {
    id: 'ownText',
    title: vscode.l10n.t('Your own text'),
    invitation: vscode.l10n.t('any text is a corpus'),
    evidence: vscode.l10n.t('Ticked by the first step of a run on your own text.'),
    command: 'trickster.openConfig',
    action: vscode.l10n.t('Open Config'),
  },
  {
    id: 'head',
    title: vscode.l10n.t('Inside one head'),
    invitation: vscode.l10n.t('attention, number by number'),
    evidence: vscode.l10n.t('Ticked when you have predicted.'),
    command: 'trickster.predict',
    action: vscode.l10n.t('Say What You Predict'),
  },
  {
    id: 'update',
    title: vscode.l10n.t('One update'),
    invitation: vscode.l10n.t('one batch by hand'),
    evidence: vscode.l10n.t('Ticked when you have predicted.'),
    command: 'trickster.predict',
    action: vscode.l10n.t('Say What You Predict'),
  },
  {
    id: 'diagnose',
    title: vscode.l10n.t('A broken run'),
    invitation: vscode.l10n.t('find what is wrong'),
    evidence: vscode.l10n.t('Ticked when you have named the fault of a broken run.'),
    command: 'trickster.diagnose',
    action: vscode.l10n.t('Diagnose a Broken Run'),
  },
];
