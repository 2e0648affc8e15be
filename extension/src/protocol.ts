// Written by `make generate` from server/trickster_server/lsp/messages/ and trickster_engine/runs/event_types.py.
// Do not edit: change the Python and run it again. A test fails when this file is stale.

/** What a run says of itself in a `status` event. */
export type RunStatus =
  'starting' | 'preparing' | 'training' | 'evaluating' | 'stopping' | 'stopped' | 'finished' | 'failed';

/** The run entered a new phase. `step` is the number of updates done so far. */
export interface StatusEvent {
  t: number;
  kind: 'status';
  status: RunStatus;
  step: number;
  message: string | null;
}

/** Progress since the last step event: `loss` and `grad_norm` are means over the updates in between. */
export interface StepEvent {
  t: number;
  kind: 'step';
  step: number;
  loss: number;
  lr: number;
  grad_norm: number;
  tokens_per_s: number;
  eta_s: number | null;
  mfu: number | null;
}

/** Cross-entropy on the whole validation text, and by the same method on a fixed probe of the training text. */
export interface EvalEvent {
  t: number;
  kind: 'eval';
  step: number;
  train_loss: number;
  val_loss: number;
  perplexity: number;
}

/** The n-gram baselines were counted, beside training: validation losses by name. */
export interface BaselinesEvent {
  t: number;
  kind: 'baselines';
  step: number;
  nats: Record<string, number>;
}

/** Text the model wrote at this step; `text` does not repeat the prompt. */
export interface SampleEvent {
  t: number;
  kind: 'sample';
  step: number;
  prompt: string;
  text: string;
}

/** A complete checkpoint exists at `path`, which is relative to the run directory unless a config moved it. */
export interface CheckpointEvent {
  t: number;
  kind: 'checkpoint';
  step: number;
  path: string;
  val_loss: number | null;
  best: boolean;
}

/** What each layer does, at an evaluation: figures of `embedding`, of the blocks by number from 0, and of `output`. `grad_norm` is the norm of the gradient before clipping and `update_ratio` the norm of the change of the weights over that of the weights, both of the update before the evaluation; None before the first. The rest is measured on some hundred tokens of training text: `activation_rms` is the root mean square of what a layer puts out, `attention_entropy` the entropy of its attention over the greatest that is possible (0: all on one token, 1: evenly on all), `dead_neurons` the share of SwiGLU neurons that stay near 0, `effective_rank` the exponential of the entropy of the singular values of a block's output (Roy & Vetterli 2007, EUSIPCO). `changed_by_future` is the share of predictions that change when only later tokens do. `order` says how much the loss rises, in nats/token, when the tokens of the `training` and the `validation` text are shuffled. */
export interface LayersEvent {
  t: number;
  kind: 'layers';
  step: number;
  grad_norm: Record<string, number> | null;
  update_ratio: Record<string, number> | null;
  weight_norm: Record<string, number>;
  activation_rms: Record<string, number>;
  attention_entropy: Record<string, number>;
  dead_neurons: Record<string, number>;
  effective_rank: Record<string, number>;
  changed_by_future: number;
  order: Record<string, number>;
}

/** Something the person should know; the run goes on. */
export interface WarningEvent {
  t: number;
  kind: 'warning';
  code: string;
  message: string;
  advice: string;
}

/** Why the run ends. */
export interface ErrorEvent {
  t: number;
  kind: 'error';
  code: string;
  message: string;
  advice: string;
}

/** An agent had the run started or stopped. `origin` is what it calls itself; a person's own actions have none. */
export interface ActionEvent {
  t: number;
  kind: 'action';
  step: number;
  action: 'start' | 'stop';
  origin: string;
}

/** One line of `events.jsonl`. */
export type RunEvent =
  | StatusEvent
  | StepEvent
  | EvalEvent
  | BaselinesEvent
  | SampleEvent
  | CheckpointEvent
  | LayersEvent
  | WarningEvent
  | ErrorEvent
  | ActionEvent;

export type RunState =
  | 'starting'
  | 'preparing'
  | 'training'
  | 'evaluating'
  | 'stopping'
  | 'stopped'
  | 'finished'
  | 'failed'
  | 'interrupted';

export type EstimateSource = 'measured' | 'estimated';

/** A value in a config. */
export type ConfigValue = string | number | boolean | null | ConfigValue[];

/** `initializationOptions` of `initialize`; every field may be left out. */
export interface InitializationOptions {
  /** true: the person trusts the folder. Left out, false or anything else: the server checks and explains files, and starts no process, writes no file and removes none. */
  trusted?: boolean;
  /** The interpreter that trains; it may differ from the server's. Left out: the server's own. */
  python?: string | null;
  /** true: code lenses name the client's commands (`trickster.train`), not the server's, and Train, Stop and the like are not offered among the code actions. */
  clientCommands?: boolean;
  /** true: `trickster/event` and `trickster/runsChanged` are sent. The experimental capability `{"trickster": {"notifications": true}}` says the same. Left out: they are not, and no editor warns of them. */
  notifications?: boolean;
  /** true: Markdown may hold images as `data:` addresses; hovers then draw the learning rate. */
  images?: boolean;
  /** true: this machine may be calibrated, once, in the background and for some seconds, when a config is open and nothing trains. Estimates then know how long any config takes here. */
  calibrate?: boolean;
  /** The model that answers `textDocument/inlineCompletion`: a run's name, path or URI, or a checkpoint's folder. Left out: none does, until the command `trickster.server.completeWith` names one. */
  completionModel?: string | null;
  /** Where it completes: languages as the client names them, globs of file names, or, with a slash, globs of whole paths. Left out: `plaintext`, `text` and `markdown`. */
  completionFiles?: string[] | null;
  /** For each run the client knows: the `next` it has seen last. The server goes on from there, so that after a restart no event is lost or doubled. */
  following?: Record<string, number>;
  /** How long after the last keystroke a file is checked, in milliseconds. */
  debounceMs?: number;
}

/** Nothing is asked; the object is there for what may come. */
export interface ListRunsParams {}

/** A warning or an error of a run. */
export interface Notice {
  /** After an error the run ends. */
  kind: 'warning' | 'error';
  /** By which troubleshooting explains it. */
  code: string;
  /** What happened. */
  message: string;
  /** What to do about it. */
  advice: string;
}

/** What an agent, and no person, had done with a run. */
export interface AgentAction {
  /** What was done. */
  action: 'start' | 'stop';
  /** What the agent calls itself, with its version. */
  origin: string;
  /** The step at which it was done. */
  step: number;
}

/** A stretch of training with a name. */
export interface Phase {
  /** Such as `Warm-up`. */
  name: string;
  /** What happens in it. */
  meaning: string;
  /** The step it begins at. */
  begin: number;
  /** The step it ends at. */
  end: number;
}

/** One saved checkpoint of a run. */
export interface CheckpointInfo {
  /** Name of its folder, such as `step-001000`. */
  name: string;
  /** Its folder: a Hugging Face model directory. */
  path: string;
  /** The step it was saved after. */
  step: number;
  /** Validation loss, in nats/token. */
  valLoss: number | null;
  /** true: the best of the run so far. */
  best: boolean;
}

/** What a list of runs shows of one run. */
export interface RunInfo {
  /** Offset in `events.jsonl` after the last event that this tells of, in bytes. */
  next: number;
  /** Where it stands. */
  state: RunState;
  /** true: a process is training it now. */
  live: boolean;
  /** true: `trickster/resumeRun` can go on with it: it was stopped, was interrupted or failed. */
  resumable: boolean;
  /** Steps done. */
  step: number;
  /** Last training loss, in nats/token. */
  trainLoss: number | null;
  /** Last validation loss, in nats/token. */
  valLoss: number | null;
  /** The step it was measured at; 0 is before training. */
  valStep: number | null;
  /** Lowest validation loss so far. */
  bestValLoss: number | null;
  /** How often that loss was measured; null: not known yet. */
  evaluations: number | null;
  /** Last measured speed. */
  tokensPerSecond: number | null;
  /** Expected time to the end; only of a live run. */
  etaSeconds: number | null;
  /** Time of training and evaluating so far, without what lies between a stop and a resume; null: not known yet. */
  seconds: number | null;
  /** The error of a failed run. */
  error: string | null;
  /** What to do about it. */
  advice: string | null;
  /** The code of that message, by which troubleshooting explains it. */
  errorCode: string | null;
  /** The newest warnings, and the error that ended it, oldest first. */
  notices: Notice[];
  /** What agents had done with it, oldest first; empty where only people acted. */
  actions: AgentAction[];
  /** Validation losses of the baselines, in nats/token, by name, such as `uniform`, `bigram`, `7-gram`; only `uniform` until they are counted. */
  baselines: Record<string, number>;
  /** Names the run in every other message: the address of its directory. Show `name` instead. */
  runId: string;
  /** Name of the run directory, such as `pico-001`. */
  name: string;
  /** The run directory. */
  runDirectory: string;
  /** The config it was started from; the text trained is `config.yaml` in the directory. */
  configPath: string | null;
  /** When it began, in seconds since 1970. */
  created: number;
  /** Steps planned. */
  maxSteps: number | null;
  /** The phases of training, by its plan; empty until that was read. */
  phases: Phase[];
  /** Weights in the model. */
  parameters: number | null;
  /** `torch` or `ttml`. */
  backend: string | null;
  /** The device it trains on. */
  device: string | null;
  /** `fp32` or `bf16`. */
  precision: string | null;
  /** Of the validation text: a loss in nats/token, divided by this and by ln 2, is in bits/byte, the same unit for all tokenizers. null: not known, as in some runs of older versions. */
  bytesPerToken: number | null;
  /** true: trained on a text of the person's own, not on a built-in corpus. */
  ownText: boolean;
  /** What `run.json` says of the text: size, split, fingerprint. */
  data: Record<string, unknown>;
  /** The training process; only of a live run. */
  pid: number | null;
  /** Complete checkpoints, oldest first. */
  checkpoints: CheckpointInfo[];
}

/** The runs under the folders of the workspace, newest first. */
export interface ListRunsResult {
  /** Live, finished, stopped, failed and interrupted ones. */
  runs: RunInfo[];
}

/** Train a config. */
export interface StartRunParams {
  /** The config, as saved on disk. */
  configUri: string;
  /** The interpreter that trains, for this run only. */
  python?: string | null;
  /** Values that replace the file's, such as `training_config.max_steps: 200`. */
  overrides?: Record<string, ConfigValue>;
}

/** The run that is now live. */
export interface RunStarted {
  /** Names it in every other message. */
  runId: string;
  /** Its directory. */
  runDirectory: string;
  /** The training process. It is independent: it continues without client and server. */
  pid: number;
}

/** Go on with a run that is `resumable`, from its newest complete checkpoint, or from step 0 if it has none. */
export interface ResumeRunParams {
  /** The run. */
  runId: string;
  /** The interpreter that trains, for this run only. */
  python?: string | null;
}

/** Ask a live run to save and stop, which it does within one step. */
export interface StopRunParams {
  /** The run. */
  runId: string;
  /** true: answer when the run has ended, not when it has been asked. */
  wait?: boolean;
}

/** What became of the question. */
export interface StopRunResult {
  /** `stopping`, or the state it has ended in. */
  state: RunState;
}

/** Remove a run for good: files that a run is known to hold, and checkpoints that carry its own mark. What a person has put beside them stays, and so do folders elsewhere that the run's files name but that carry no mark of it. A live run is not deleted: stop it first. */
export interface DeleteRunParams {
  /** The run. */
  runId: string;
  /** true: only list what would be deleted and what would stay. */
  dryRun?: boolean;
}

/** What was removed, or would be. */
export interface DeleteRunResult {
  /** The run directory. */
  runDirectory: string;
  /** What is deleted: a file, or a folder with only the run's own content. None of them is a link. */
  removed: string[];
  /** What stays, because it may not belong to the run. */
  kept: string[];
}

/** Read the events of a run, for a chart that was not there from the start. */
export interface RunEventsParams {
  /** The run. */
  runId: string;
  /** Offset to read from: 0, or the `next` of an earlier answer. */
  after?: number;
  /** Maximum number of events, at most 5,000; ask again while `more` is true. */
  limit?: number | null;
}

/** Events in the order of the file. A line that is still being written is left for the next question. */
export interface RunEventsResult {
  /** The events. */
  events: RunEvent[];
  /** Offset after the last of them. */
  next: number;
  /** true: there were more than `limit`. */
  more: boolean;
}

/** How the next token is drawn; a field left out takes the run's own value. */
export interface SamplingOptions {
  /** How many tokens to generate. */
  maxNewTokens?: number | null;
  /** 0 is greedy; 1 samples the model's own probabilities. */
  temperature?: number | null;
  /** Sample only from the k likeliest tokens; 0 = off. */
  topK?: number | null;
  /** Sample only from the likeliest tokens that together have this probability; 1 = off. */
  topP?: number | null;
  /** Makes tokens already used less likely; 1 = off. */
  repetitionPenalty?: number | null;
  /** The same seed gives the same text. */
  seed?: number | null;
}

/** Write text with a model. Cancel with the protocol's own `$/cancelRequest`. */
export interface GenerateParams {
  /** The run whose newest checkpoint is used. */
  runId?: string | null;
  /** Or a checkpoint's folder. */
  checkpoint?: string | null;
  /** The text to continue; omitted: the run's own prompt. */
  prompt?: string | null;
  /** Sampling settings. */
  sampling?: SamplingOptions | null;
  /** Report this many of the likeliest tokens for each sampled one; 0 = none. */
  probabilities?: number;
  /** The interpreter that runs the model. */
  python?: string | null;
  /** The text is streamed to this token as `GeneratePart`. */
  partialResultToken?: string | number | null;
  /** Progress is reported to this token. */
  workDoneToken?: string | number | null;
}

/** One bar of the playground. */
export interface TokenProbability {
  /** The token's number in the vocabulary. */
  id: number;
  /** Its text. */
  text: string;
  /** Between 0 and 1. */
  probability: number;
}

/** One drawn token, when probabilities were asked for. */
export interface GeneratedToken {
  /** The token's number in the vocabulary. */
  id: number;
  /** Its text. */
  text: string;
  /** Its probability, before temperature, top-k and top-p. */
  probability: number;
  /** The most likely ones, highest first. */
  alternatives: TokenProbability[];
}

/** The value of a `$/progress` of `partialResultToken`: the text that has come since the last one. */
export interface GeneratePart {
  /** To be appended to the text so far. */
  text: string;
  /** The tokens of this part, if probabilities were requested. */
  tokens: GeneratedToken[];
}

/** The finished text. After parts have been sent, `text` is still the whole of it. */
export interface GenerateResult {
  /** The generated text, without the prompt. */
  text: string;
  /** The prompt used. */
  prompt: string;
  /** The checkpoint used. */
  checkpoint: string;
  /** The step it was saved after. */
  step: number | null;
  /** Tokens written. */
  tokens: number;
  /** Time it took, without loading the model. */
  seconds: number;
  /** length: all the tokens asked for; document: the model ended its text; cancelled. */
  finishReason: string;
}

/** What the model believes comes next: the bars of the playground. */
export interface NextTokensParams {
  /** The text so far. */
  text: string;
  /** The run whose newest checkpoint is used. */
  runId?: string | null;
  /** Or a checkpoint's folder. */
  checkpoint?: string | null;
  /** How many bars. */
  count?: number;
  /** Show the probabilities after temperature, top-k and top-p. */
  sampling?: SamplingOptions | null;
  /** The interpreter that runs the model. */
  python?: string | null;
}

/** The most likely tokens, highest first. */
export interface NextTokensResult {
  /** The bars. */
  tokens: TokenProbability[];
  /** The checkpoint used. */
  checkpoint: string;
  /** Entropy of the next token, in nats; ln of the vocabulary's size is a uniform prediction. */
  entropy: number;
}

/** What a model would go on with at the cursor. Cancel with the protocol's own `$/cancelRequest`. */
export interface CompleteParams {
  /** The text before the cursor; the last few thousand characters are enough. */
  before: string;
  /** The run whose newest checkpoint is used. */
  runId?: string | null;
  /** Or a checkpoint's folder. */
  checkpoint?: string | null;
  /** End with the line. */
  oneLine?: boolean;
  /** Whether `before` is all text from the file's beginning. */
  fromBeginning?: boolean;
  /** Offer what is right with at least this probability; left out: 0.2. */
  confidence?: number | null;
  /** Offer at most so many tokens; left out: 32. */
  maxTokens?: number | null;
  /** The interpreter that runs the model. */
  python?: string | null;
}

/** The text offered: as far as the model believes that all of it is right; empty where it cannot tell. */
export interface CompleteResult {
  /** To be inserted at the cursor. */
  text: string;
  /** The checkpoint used. */
  checkpoint: string;
  /** The step it was saved after. */
  step: number | null;
  /** Time the model took. */
  seconds: number;
}

/** Choose the model that completes what is typed. It is loaded now, so that the first key is answered. */
export interface CompleteWithParams {
  /** The run whose newest checkpoint is used. */
  runId?: string | null;
  /** Or a checkpoint's folder. */
  checkpoint?: string | null;
  /** Languages or globs of the files it completes in; left out: `completionFiles` of the initialization options. */
  files?: string[] | null;
}

/** The model that completes from now on. */
export interface CompleteWithResult {
  /** The run's or the folder's name. */
  name: string;
  /** Languages or globs of the files it completes in. */
  files: string[];
  /** The checkpoint used; a newer one of the same run is taken over by itself. */
  checkpoint: string;
  /** The step it was saved after. */
  step: number | null;
}

/** Let no model complete any more. */
export interface StopCompletingParams {}

/** What has been stopped. */
export interface StopCompletingResult {
  /** The model that completed until now; null where none did. */
  name: string | null;
}

/** The proof of learning: the trained model beside one with random weights, and the table of losses. */
export interface CompareParams {
  /** The run. */
  runId: string;
  /** The interpreter that runs the models. */
  python?: string | null;
  /** Progress is reported to this token. */
  workDoneToken?: string | number | null;
}

/** What `trickster compare` prints. */
export interface CompareResult {
  /** The same, as text to show. */
  report: string;
  /** What `trickster compare --json` prints. */
  data: unknown;
}

/** What a run has learned and what not: the page that `trickster report` writes into its directory. */
export interface ReportParams {
  /** A run that has saved a checkpoint. */
  runId: string;
  /** The interpreter that runs the model. */
  python?: string | null;
  /** Progress is reported to this token. */
  workDoneToken?: string | number | null;
}

/** Where the page is. It is made again only where the run has gone on since. */
export interface ReportResult {
  /** The page: one HTML file that loads and runs nothing. */
  path: string;
  /** What `trickster report --json` prints; null if the page already existed. */
  data: unknown;
}

/** The model of a config, before it is trained: parameters by part, shapes, a sample of noise. */
export interface InspectParams {
  /** The config. */
  configUri: string;
  /** The interpreter that builds the model. */
  python?: string | null;
  /** Progress is reported to this token. */
  workDoneToken?: string | number | null;
}

/** What `trickster inspect` prints. */
export interface InspectResult {
  /** The same, as text to show. */
  report: string;
  /** What `trickster inspect --json` prints. */
  data: unknown;
  /** The same with the picture of the architecture, as an HTML page that loads and runs nothing. */
  page: string;
}

/** Fetch and encode the corpus of a config. */
export interface PrepareParams {
  /** The config. */
  configUri: string;
  /** The interpreter that prepares. */
  python?: string | null;
  /** Progress is reported to this token. */
  workDoneToken?: string | number | null;
}

/** What `trickster prepare` prints. */
export interface PrepareResult {
  /** The same, as text to show. */
  report: string;
  /** What `trickster prepare --json` prints. */
  data: unknown;
}

/** Which devices and packages the training interpreter has. */
export interface DoctorParams {
  /** The interpreter to check. */
  python?: string | null;
  /** Progress is reported to this token. */
  workDoneToken?: string | number | null;
}

/** What `trickster doctor` prints. */
export interface DoctorResult {
  /** The interpreter checked. */
  python: string;
  /** The findings, as text to show. */
  report: string;
  /** What `trickster doctor --json` prints. */
  data: unknown;
}

/** Nothing is asked; the object is there for what may come. */
export interface PresetsParams {}

/** One of the configs that come with Trickster. */
export interface PresetInfo {
  /** Such as `pico`. */
  name: string;
  /** One line. */
  description: string;
  /** Weights in the model. */
  parameters: number;
  /** The YAML. */
  text: string;
  /** Expected training time on this machine. */
  estimatedSeconds: number | null;
  /** Where that figure comes from. */
  estimateSource: EstimateSource | null;
}

/** The presets, smallest first. */
export interface PresetsResult {
  /** The presets. */
  presets: PresetInfo[];
}

/** Write a preset's YAML into a new file. */
export interface CreateConfigParams {
  /** Its name. */
  preset: string;
  /** The folder to write into. */
  folderUri: string;
  /** Omitted: `<preset>.trickster.yaml`, numbered if that exists. */
  fileName?: string | null;
}

/** The new file. */
export interface CreateConfigResult {
  /** Its address. */
  uri: string;
}

/** The figures of a config, as the editor has it, saved or not. */
export interface DescribeConfigParams {
  /** The config. */
  configUri: string;
}

/** What can be said about a config without training it; null where an error in the file prevents it. */
export interface DescribeConfigResult {
  /** true: no error in the file. */
  valid: boolean;
  /** Problems that prevent training. */
  errors: number;
  /** Problems that do not. */
  warnings: number;
  /** Weights in the model. */
  parameters: number | null;
  /** Steps planned. */
  maxSteps: number | null;
  /** Tokens the optimizer sees in one step. */
  tokensPerStep: number | null;
  /** Epochs of the training text, where its size is known. */
  epochs: number | null;
  /** Tokens of training text, where known. */
  trainTokens: number | null;
  /** Tokens of validation text, where known. */
  valTokens: number | null;
  /** true: the text is on this machine. */
  corpusPresent: boolean | null;
  /** The corpus, as written in the file. */
  corpus: string | null;
  /** true: it is already tokenized; null: not known. */
  prepared: boolean | null;
  /** Uniform-prediction loss, ln of the vocabulary's size, in nats/token. */
  uniformLoss: number | null;
  /** Expected training time on this machine. */
  estimatedSeconds: number | null;
  /** Where that figure comes from. */
  estimateSource: EstimateSource | null;
  /** Where its runs are written. */
  outputDirectory: string | null;
  /** The runs started from this file, newest first. */
  runIds: string[];
}

/** A part of the model. */
export interface InsideComponentOptions {
  /** layer: all that the layer adds; attention and mlp: what that half adds; head: one head's output; neuron: one of the MLP's activations. */
  part: 'layer' | 'attention' | 'mlp' | 'head' | 'neuron';
  /** The layer. */
  layer: number;
  /** Which head or neuron of it; null for the other parts. */
  index?: number | null;
}

/** An activation of another text, put in the place of this text's own. */
export interface InsidePatchOptions {
  /** What is replaced; of a layer, the residual stream after it. */
  component: InsideComponentOptions;
  /** The text that it is taken from. */
  fromText: string;
  /** The token of this text where it is put. */
  position: number;
  /** The token of the other text; omitted: the same number. */
  fromPosition?: number | null;
}

/** What a model computes for a text. With parts switched off or patched, what it computes then. */
export interface InsideParams {
  /** The run whose newest checkpoint is looked into. */
  runId?: string | null;
  /** Or a checkpoint's folder. */
  checkpoint?: string | null;
  /** Instead, the model as it was before the run's first step. */
  beforeTraining?: boolean;
  /** The text; omitted: the beginning of the run's validation text, or its prompt. */
  text?: string | null;
  /** What is sent; omitted: everything. `tokens` and `next` always are. */
  want?: ('attention' | 'heads' | 'lens' | 'stream' | 'neurons')[] | null;
  /** Send the attention of these layers only; omitted: of all. */
  layers?: number[] | null;
  /** Tokens at each place of the logit lens, and neurons at each place; at most 20. */
  top?: number;
  /** Parts that add nothing. */
  switchedOff?: InsideComponentOptions[];
  /** Activations that are replaced. */
  patches?: InsidePatchOptions[];
  /** The interpreter that runs the model. */
  python?: string | null;
}

/** What the model is made of. */
export interface InsideModel {
  /** Layers. */
  layers: number;
  /** Attention heads in each layer. */
  heads: number;
  /** Key/value heads in each layer: `heads / kvHeads` heads share one. */
  kvHeads: number;
  /** Width of a head. */
  headDim: number;
  /** Width of the residual stream. */
  hiddenDim: number;
  /** Neurons in each layer's MLP. */
  mlpDim: number;
  /** Tokens of the tokenizer. */
  vocabSize: number;
  /** Tokens that the model sees at most. */
  maxSeqLen: number;
  /** Whether the output reads the embedding's weights. */
  tieEmbeddings: boolean;
  /** The base of RoPE's frequencies. */
  ropeTheta: number;
  /** Radians a token by which each of a head's `headDim / 2` pairs is turned. */
  ropeFrequencies: number[];
}

/** One token of the text, and what the model expected in its place. */
export interface InsideToken {
  /** The token's number in the vocabulary. */
  id: number;
  /** Its text. */
  text: string;
  /** -ln of its probability, in nats; null for the first, which nothing predicts. */
  loss: number | null;
  /** How many tokens were likelier; 0 for the likeliest. */
  rank: number | null;
}

/** One token that may follow the text. */
export interface InsideNext {
  /** The token's number in the vocabulary. */
  id: number;
  /** Its text. */
  text: string;
  /** Its logit. */
  logit: number;
}

/** Many numbers, in the order of the last axis first (row-major), little-endian. */
export interface InsideArray {
  /** How many along each axis. */
  shape: number[];
  /** What each number is stored as. */
  type: 'uint8' | 'int32' | 'float32';
  /** Their bytes in base64. */
  data: string;
}

/** What one head does, measured: mean attention to a kind of token, 0 to 1; null where the text has none such. */
export interface InsideHead {
  /** The layer. */
  layer: number;
  /** The head. */
  head: number;
  /** The behaviour it shows most clearly; null for none. */
  label: 'current' | 'previous' | 'first' | 'same' | 'lineStart' | 'induction' | null;
  /** Attention to the token itself. */
  current: number | null;
  /** To the token before it. */
  previous: number | null;
  /** To the text's first token. */
  first: number | null;
  /** To earlier tokens that are the same. */
  same: number | null;
  /** To the last line break and the token after it. */
  lineStart: number | null;
  /** On random tokens, repeated: from the second time to the token after the first time (Olsson et al. 2022). */
  induction: number | null;
  /** Mean entropy of its attention, in nats; 0 looks at one token. */
  entropy: number;
}

/** The logit lens: what the model would say next if it ended after each layer (nostalgebraist 2020). The first axis has `layers + 1` places: 0 is the embedding, i is after layer i - 1; the last is the model's own. */
export interface InsideLens {
  /** int32 [layers + 1, T, top]: the likeliest tokens, highest first. */
  ids: InsideArray;
  /** float32, the same shape. */
  probabilities: InsideArray;
  /** float32 [layers + 1, T]: of the token that does follow; NaN after the last. */
  nextProbability: InsideArray;
  /** int32 [layers + 1, T]: how many were likelier than it; -1 after the last. */
  nextRank: InsideArray;
  /** The text of each id in `ids`. */
  texts: Record<string, string>;
}

/** Lengths (Euclidean norms) of the residual stream, and of what is added to it. */
export interface InsideStream {
  /** float32 [layers + 1, T]: the stream after the embedding and after each layer. */
  residual: InsideArray;
  /** float32 [layers, T]: what the layer's attention adds. */
  attention: InsideArray;
  /** float32 [layers, T]: what the layer's MLP adds. */
  mlp: InsideArray;
}

/** The MLPs' most active neurons at each place, by the size of the activation, largest first. */
export interface InsideNeurons {
  /** int32 [layers, T, top]. */
  ids: InsideArray;
  /** float32, the same shape; silu(gate) * up, with its sign. */
  activations: InsideArray;
}

/** What was asked for of a text; null for what was not. */
export interface InsideResult {
  /** The checkpoint's folder; null before training. */
  checkpoint: string | null;
  /** The step it was saved after; 0 before training. */
  step: number | null;
  /** What the model is made of. */
  model: InsideModel;
  /** The text that is looked at. */
  text: string;
  /** Tokens at the text's end that are not looked at, because it is longer than what fits. */
  leftOut: number;
  /** The tokens, T of them. */
  tokens: InsideToken[];
  /** Their mean loss, in nats/token; null for a single token. */
  loss: number | null;
  /** The 50 likeliest tokens after the text. */
  next: InsideNext[];
  /** float32 [vocabulary]: all the logits after the text; temperature divides them. */
  logits: InsideArray;
  /** Which layers `attention` holds. */
  attentionLayers: number[];
  /** uint8 [its layers, heads, T, T]: 255 times the weight; row looks at column. */
  attention: InsideArray | null;
  /** What each head does. */
  heads: InsideHead[] | null;
  /** What each layer would say next. */
  lens: InsideLens | null;
  /** The residual stream. */
  stream: InsideStream | null;
  /** The most active neurons. */
  neurons: InsideNeurons | null;
  /** Time it took, without loading the model. */
  seconds: number;
}

/** A text before and after parts of the model are switched off or patched. */
export interface InsideWhatIfParams {
  /** The text. */
  text: string;
  /** The run whose newest checkpoint is used. */
  runId?: string | null;
  /** Or a checkpoint's folder. */
  checkpoint?: string | null;
  /** Instead, the model as it was before the run's first step. */
  beforeTraining?: boolean;
  /** Parts that add nothing. */
  switchedOff?: InsideComponentOptions[];
  /** Activations that are replaced. */
  patches?: InsidePatchOptions[];
  /** Go on with the text by so many tokens, at most 200; 0 = not. */
  maxNewTokens?: number;
  /** 0 is greedy. */
  temperature?: number;
  /** The same seed gives the same text. */
  seed?: number;
  /** The interpreter that runs the model. */
  python?: string | null;
}

/** What the model says of a text. */
export interface InsideOutcome {
  /** The tokens with their losses. */
  tokens: InsideToken[];
  /** Their mean loss, in nats/token. */
  loss: number | null;
  /** The 50 likeliest tokens after the text. */
  next: InsideNext[];
  /** What it goes on with. */
  continuation: string;
}

/** The same text, read by the model as it is and as it is changed. */
export interface InsideWhatIfResult {
  /** The checkpoint's folder; null before training. */
  checkpoint: string | null;
  /** The step it was saved after; 0 before training. */
  step: number | null;
  /** Tokens at the text's end that are not looked at. */
  leftOut: number;
  /** By the model as it is. */
  before: InsideOutcome;
  /** With the parts switched off, and the activations patched. */
  after: InsideOutcome;
  /** Time it took, without loading the model. */
  seconds: number;
}

/** The embeddings as a map. */
export interface InsideEmbeddingParams {
  /** The run whose newest checkpoint is used. */
  runId?: string | null;
  /** Or a checkpoint's folder. */
  checkpoint?: string | null;
  /** Instead, the model as it was before the run's first step. */
  beforeTraining?: boolean;
  /** pca: principal components; umap: needs umap-learn. */
  projection?: 'pca' | 'umap';
  /** The interpreter that runs the model. */
  python?: string | null;
}

/** A token on the map. */
export interface InsidePoint {
  /** The token's number in the vocabulary. */
  id: number;
  /** Its text. */
  text: string;
  /** What its text is. */
  kind: 'capital' | 'lower case' | 'digit' | 'space' | 'punctuation' | 'other';
  /** Its place. */
  x: number;
  /** Its place. */
  y: number;
}

/** The tokens' places. */
export interface InsideEmbeddingResult {
  /** The checkpoint's folder; null before training. */
  checkpoint: string | null;
  /** The step it was saved after; 0 before training. */
  step: number | null;
  /** How the map was drawn. */
  projection: 'pca' | 'umap';
  /** At most 2000 tokens: those of the validation text, or all printable ones. */
  points: InsidePoint[];
  /** Tokens that are not on it. */
  leftOut: number;
  /** Share of the variance along x and y; null for UMAP. */
  explained: number[] | null;
  /** Whether UMAP can be asked for. */
  umapInstalled: boolean;
}

/** What excites one neuron of an MLP. */
export interface InsideNeuronParams {
  /** The layer. */
  layer: number;
  /** The neuron. */
  neuron: number;
  /** The run whose newest checkpoint is used. */
  runId?: string | null;
  /** Or a checkpoint's folder. */
  checkpoint?: string | null;
  /** Search this text; omitted: a sample of the run's validation text. */
  text?: string | null;
  /** How many contexts, at most 50. */
  count?: number;
  /** The interpreter that runs the model. */
  python?: string | null;
}

/** A place in the text, and the neuron's activation there. */
export interface InsideContext {
  /** The text before the token. */
  before: string;
  /** The token at which the activation was measured. */
  token: string;
  /** The text after it. */
  after: string;
  /** silu(gate) * up. */
  activation: number;
}

/** The contexts in which the neuron is most active, and the tokens that it makes likelier. */
export interface InsideNeuronResult {
  /** The checkpoint's folder. */
  checkpoint: string | null;
  /** The step it was saved after. */
  step: number | null;
  /** The largest activations, largest first. */
  highest: InsideContext[];
  /** The most negative ones, lowest first. */
  lowest: InsideContext[];
  /** Tokens that were searched. */
  tokens: number;
  /** Mean activation over them. */
  mean: number;
  /** Standard deviation over them. */
  deviation: number;
  /** Tokens whose logits a unit of activation raises most, by its direct path. */
  promotes: InsideNext[];
  /** Tokens whose logits it lowers most. */
  suppresses: InsideNext[];
}

/** What the heads did at each checkpoint of a run. */
export interface InsideHistoryParams {
  /** The run. */
  runId: string;
  /** The text; omitted: the beginning of the run's validation text, or its prompt. */
  text?: string | null;
  /** Send the attention of one head: its layer. */
  layer?: number | null;
  /** And its number there. */
  head?: number | null;
  /** The interpreter that runs the model. */
  python?: string | null;
}

/** One checkpoint. */
export interface InsideMoment {
  /** The step; 0 is the model before training. */
  step: number;
  /** Its folder; null before training. */
  checkpoint: string | null;
  /** Mean loss on the text, in nats/token. */
  loss: number | null;
  /** Mean loss on random tokens, seen the first time; null if the context is tiny. */
  repeatFirst: number | null;
  /** And the second time: an induction head makes it smaller. */
  repeatSecond: number | null;
  /** What each head does. */
  heads: InsideHead[];
  /** uint8 [T, T]: of the head that was asked for, 255 times the weight. */
  attention: InsideArray | null;
}

/** The run's checkpoints that are kept, oldest first; at most 64, evenly chosen. */
export interface InsideHistoryResult {
  /** The text that is looked at. */
  text: string;
  /** Tokens at its end that are not looked at. */
  leftOut: number;
  /** The text of each token. */
  tokens: string[];
  /** The model before training, and each checkpoint. */
  moments: InsideMoment[];
  /** Checkpoints that could not be read. */
  unreadable: string[];
}

/** What the events of a run have come to: what changes while it trains. */
export interface RunProgress {
  /** Offset in `events.jsonl` after the last event that this tells of, in bytes. */
  next: number;
  /** Where it stands. */
  state: RunState;
  /** true: a process is training it now. */
  live: boolean;
  /** true: `trickster/resumeRun` can go on with it: it was stopped, was interrupted or failed. */
  resumable: boolean;
  /** Steps done. */
  step: number;
  /** Last training loss, in nats/token. */
  trainLoss: number | null;
  /** Last validation loss, in nats/token. */
  valLoss: number | null;
  /** The step it was measured at; 0 is before training. */
  valStep: number | null;
  /** Lowest validation loss so far. */
  bestValLoss: number | null;
  /** How often that loss was measured; null: not known yet. */
  evaluations: number | null;
  /** Last measured speed. */
  tokensPerSecond: number | null;
  /** Expected time to the end; only of a live run. */
  etaSeconds: number | null;
  /** Time of training and evaluating so far, without what lies between a stop and a resume; null: not known yet. */
  seconds: number | null;
  /** The error of a failed run. */
  error: string | null;
  /** What to do about it. */
  advice: string | null;
  /** The code of that message, by which troubleshooting explains it. */
  errorCode: string | null;
  /** The newest warnings, and the error that ended it, oldest first. */
  notices: Notice[];
  /** What agents had done with it, oldest first; empty where only people acted. */
  actions: AgentAction[];
  /** Validation losses of the baselines, in nats/token, by name, such as `uniform`, `bigram`, `7-gram`; only `uniform` until they are counted. */
  baselines: Record<string, number>;
}

/** New events of a live run; at most ten of these a second a run. `after` of one is `next` of the one before it. A client that finds a gap asks `trickster/runEvents`; one that finds `next` no further than what it has drops the message. */
export interface EventParams {
  /** The run. */
  runId: string;
  /** Offset in `events.jsonl` before the first of these events, in bytes. */
  after: number;
  /** Offset after the last of them. */
  next: number;
  /** The events, as in the file. */
  events: RunEvent[];
  /** What the run has come to, possibly further than `next`. */
  run: RunProgress;
}

/** A run has appeared, changed its state, saved a checkpoint, or gone. */
export interface RunsChangedParams {
  /** The whole list, newest first. */
  runs: RunInfo[];
}

/** The person has decided to trust the folder: every request is answered from now on. */
export interface TrustGrantedParams {}

/** The person has chosen another interpreter. */
export interface InterpreterChangedParams {
  /** The interpreter that trains from now on; null: the server's own. */
  python: string | null;
}

/** Requests of the client: what is asked and what is answered. */
export interface Requests {
  'trickster/listRuns': { params: ListRunsParams; result: ListRunsResult };
  'trickster/startRun': { params: StartRunParams; result: RunStarted };
  'trickster/resumeRun': { params: ResumeRunParams; result: RunStarted };
  'trickster/stopRun': { params: StopRunParams; result: StopRunResult };
  'trickster/deleteRun': { params: DeleteRunParams; result: DeleteRunResult };
  'trickster/runEvents': { params: RunEventsParams; result: RunEventsResult };
  'trickster/generate': { params: GenerateParams; partial: GeneratePart; result: GenerateResult };
  'trickster/nextTokens': { params: NextTokensParams; result: NextTokensResult };
  'trickster/complete': { params: CompleteParams; result: CompleteResult };
  'trickster/completeWith': { params: CompleteWithParams; result: CompleteWithResult };
  'trickster/stopCompleting': { params: StopCompletingParams; result: StopCompletingResult };
  'trickster/compare': { params: CompareParams; result: CompareResult };
  'trickster/report': { params: ReportParams; result: ReportResult };
  'trickster/inspect': { params: InspectParams; result: InspectResult };
  'trickster/prepare': { params: PrepareParams; result: PrepareResult };
  'trickster/doctor': { params: DoctorParams; result: DoctorResult };
  'trickster/presets': { params: PresetsParams; result: PresetsResult };
  'trickster/createConfig': { params: CreateConfigParams; result: CreateConfigResult };
  'trickster/describeConfig': { params: DescribeConfigParams; result: DescribeConfigResult };
  'trickster/inside': { params: InsideParams; result: InsideResult };
  'trickster/insideWhatIf': { params: InsideWhatIfParams; result: InsideWhatIfResult };
  'trickster/insideEmbedding': { params: InsideEmbeddingParams; result: InsideEmbeddingResult };
  'trickster/insideNeuron': { params: InsideNeuronParams; result: InsideNeuronResult };
  'trickster/insideHistory': { params: InsideHistoryParams; result: InsideHistoryResult };
}

/** Messages of the server that nobody answers. */
export interface ServerNotifications {
  'trickster/event': EventParams;
  'trickster/runsChanged': RunsChangedParams;
}

/** Messages of the client that nobody answers. */
export interface ClientNotifications {
  'trickster/trustGranted': TrustGrantedParams;
  'trickster/interpreterChanged': InterpreterChangedParams;
}

/** Codes of the errors a request may be answered with. */
export const ErrorCode = {
  notTrusted: 1001,
  unknownRun: 1002,
  runIsLive: 1003,
  configHasErrors: 1004,
  engineFailed: 1005,
  noTorch: 1006,
  noCheckpoint: 1007,
  noInterpreter: 1008,
  fileExists: 1009,
} as const;
