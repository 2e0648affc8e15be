import type {
  CompareResult,
  GeneratePart,
  GenerateResult,
  NextTokensResult,
  Requests,
  RunEvent,
  RunInfo,
  RunProgress,
  SamplingOptions,
} from '../protocol';

/** What the extension host and the dashboard say to each other. Both halves import this and nothing else. */

export type Tab = 'learning' | 'playground' | 'proof' | 'inside';

/** What somebody wants to see: all of it may be left as it is. */
export interface Focus {
  runId?: string;
  tab?: Tab;
  checkpoint?: string;
  /** Start the comparison at once. */
  act?: boolean;
}

/** A run beside its untrained twin: what is being done, and what has come of it so far. */
export interface Comparison {
  runId: string;
  /** When the run began, because a deleted run's id is given again. */
  created: number;
  /** What is being done; undefined when nothing is. */
  message: string | undefined;
  result: CompareResult | undefined;
  error: string | undefined;
}

export type ToDashboard =
  | { type: 'runs'; runs: RunInfo[] }
  | { type: 'focus'; focus: Focus }
  /** With the offset in the run's event file before them, and what the run has come to since the list, if anything. */
  | {
      type: 'events';
      runId: string;
      after: number;
      events: readonly RunEvent[];
      run: RunProgress | undefined;
    }
  | { type: 'generatePart'; id: number; part: GeneratePart }
  | { type: 'generated'; id: number; result?: GenerateResult; error?: string }
  | { type: 'nextTokens'; id: number; result?: NextTokensResult; error?: string }
  | { type: 'comparison'; comparison: Comparison }
  | { type: 'inside'; id: number; result?: Requests[InsideMethod]['result']; error?: string };

/** The requests that look inside a model. The page may send these of the server's requests by itself, and no others. */
export const INSIDE_METHODS = [
  'trickster/inside',
  'trickster/insideWhatIf',
  'trickster/insideEmbedding',
  'trickster/insideNeuron',
  'trickster/insideHistory',
] as const;

export type InsideMethod = (typeof INSIDE_METHODS)[number];

/** What one of them is asked with; the interpreter is the extension host's to name. */
export type InsideParamsOf<M extends InsideMethod> = Omit<Requests[M]['params'], 'python'>;

export interface GenerateRequest {
  runId: string;
  checkpoint: string | null;
  prompt: string;
  sampling: SamplingOptions;
}

export type FromDashboard =
  | { type: 'ready' }
  /** The runs whose events are wanted, from their beginning. */
  | { type: 'follow'; runIds: string[] }
  | { type: 'generate'; id: number; request: GenerateRequest }
  | { type: 'cancelGenerate'; id: number }
  | { type: 'nextTokens'; id: number; request: GenerateRequest; count: number }
  | { type: 'compare'; runId: string }
  | { type: 'inside'; id: number; method: InsideMethod; params: InsideParamsOf<InsideMethod> }
  | {
      type: 'command';
      command: 'stop' | 'resume' | 'train' | 'showSamples' | 'report' | 'revealRun' | 'setUpEnvironment';
      runId?: string;
    };
