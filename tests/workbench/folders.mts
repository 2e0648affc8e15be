// Folders to open, and what is in them.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { atExit, PYTHON, scratch } from './server.mts';

/** English that every machine has: what Python's own help says about the language. */
export function englishText(): string {
  return execFileSync(PYTHON, ['-c', 'import pydoc_data.topics as t; print("\\n".join(t.topics.values()))'], {
    encoding: 'utf8',
    maxBuffer: 1e8,
  });
}

export interface SmallConfig {
  steps?: number;
  logEvery?: number;
  evaluateEvery?: number;
  saveEvery?: number;
  hidden?: number;
  sampleTokens?: number;
  device?: string;
}

/** A model that learns something in seconds. */
export function smallConfig({
  steps = 400,
  logEvery = 5,
  evaluateEvery = 100,
  saveEvery = 100,
  hidden = 48,
  sampleTokens = 80,
  device = 'cpu',
}: SmallConfig = {}): string {
  return `model_config:
  vocab_size: 256
  hidden_dim: ${hidden}
  num_layers: 2
  num_heads: 4
  mlp_dim: 96
  max_seq_len: 64
  dropout: 0.0

training_config:
  batch_size: 8
  gradient_accumulation_steps: 1
  max_steps: ${steps}
  warmup_steps: 20
  learning_rate: 3e-3
  optimizer: muon
  log_interval: ${logEvery}
  eval_interval: ${evaluateEvery}
  save_interval: ${saveEvery}
  precision: fp32

device_config:
  device_type: ${device}

data_config:
  corpus: corpus.txt
  tokenizer: byte
  val_fraction: 0.1

sampling_config:
  prompt: "The "
  max_new_tokens: ${sampleTokens}
`;
}

/** A preset as people train it, but on the folder's corpus, on the processor and for as many steps. */
export function presetConfig(preset: string, steps: number): string {
  const values = { max_steps: String(steps), corpus: 'corpus.txt', device_type: 'cpu' };
  const text = execFileSync(PYTHON, ['-m', 'trickster_engine', 'presets', preset], { encoding: 'utf8' });
  return Object.entries(values).reduce(
    (config, [key, value]) => config.replace(new RegExp(`(\\b${key}: +)\\S+`), `$1${value}`),
    text,
  );
}

/** A folder with a corpus and a small config. */
export function sampleFolder(name: string, config: SmallConfig = {}): string {
  const folder = scratch(name);
  fs.writeFileSync(path.join(folder, 'corpus.txt'), englishText().slice(0, 120_000));
  fs.writeFileSync(path.join(folder, 'small.yaml'), smallConfig(config));
  endRunsAtExit(folder);
  return folder;
}

/** Write `repeats.yaml` into a folder: a config whose text even a small model is soon sure of. */
export function addRepeatingText(folder: string): void {
  const lines = Array.from({ length: 400 }, (_, i) => `the quick brown fox jumps over lazy dog ${i}\n`);
  fs.writeFileSync(path.join(folder, 'repeats.txt'), lines.join(''));
  const config = smallConfig({ steps: 120, evaluateEvery: 120, saveEvery: 120 });
  fs.writeFileSync(path.join(folder, 'repeats.yaml'), config.replace('corpus.txt', 'repeats.txt'));
}

/** Processes that train below a folder. */
export function trainers(folder: string): number[] {
  const runs = path.join(folder, 'runs');
  if (!fs.existsSync(runs)) {
    return [];
  }
  return fs
    .readdirSync(runs)
    .map((run) => path.join(runs, run, 'lock'))
    .filter((lock) => fs.existsSync(lock))
    .map((lock) => {
      try {
        return (JSON.parse(fs.readFileSync(lock, 'utf8')) as { pid: number }).pid;
      } catch {
        return 0;
      }
    })
    .filter((pid) => pid > 0 && isAlive(pid));
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !/^State:\s+Z/m.test(fs.readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** Training outlives VS Code, so what a test has started is ended with the test. */
export function endRunsAtExit(folder: string): void {
  atExit(() => trainers(folder).forEach((pid) => process.kill(pid, 'SIGKILL')));
}

interface RunEvent {
  kind: string;
  /** Seconds since 1970. */
  t: number;
  step: number;
  status?: string;
}

/** The events of a run, from its file. */
export function eventsOf(folder: string, run: string): RunEvent[] {
  const file = path.join(folder, 'runs', run, 'events.jsonl');
  return fs
    .readFileSync(file, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as RunEvent);
}
