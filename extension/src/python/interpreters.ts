import * as fs from 'node:fs/promises';
import * as os from 'node:os';
import * as path from 'node:path';
import * as vscode from 'vscode';
import { errorText } from '../ui/log';
import { runProcess } from './processes';

type InterpreterSource = 'setting' | 'pythonExtension' | 'managed' | 'path';

export interface Interpreter {
  /** What is started: the path as it was found, so that a virtual environment stays one. */
  path: string;
  version: readonly [number, number, number];
  source: InterpreterSource;
  /** Version of each package that training needs, or null where it is missing. */
  packages: Readonly<Record<string, string | null>>;
}

/** The oldest Python that the language server and the engine run on. */
const OLDEST_PYTHON = [3, 10] as const;

const SOURCE_WORDS: Record<InterpreterSource, string> = {
  setting: 'from the setting trickster.interpreter',
  pythonExtension: 'chosen in the Python extension',
  managed: "Trickster's own environment",
  path: 'found on the PATH',
};

// Module name → name of the distribution. Nothing is imported: finding out whether torch is there must not take seconds.
const PROBE = `
import importlib.metadata as m, json, sys
names = {"torch": "torch", "numpy": "numpy", "tokenizers": "tokenizers", "safetensors": "safetensors",
         "tqdm": "tqdm", "yaml": "PyYAML"}
packages = {}
for module, name in names.items():
    try:
        packages[module] = m.version(name)
    except m.PackageNotFoundError:
        packages[module] = None
print(json.dumps({"version": list(sys.version_info[:3]), "packages": packages}))
`;

/** Whether the language server can run in it. */
export function canServe(interpreter: Interpreter): boolean {
  const [major, minor] = interpreter.version;
  return major === OLDEST_PYTHON[0] ? minor >= OLDEST_PYTHON[1] : major > OLDEST_PYTHON[0];
}

/** The packages that training needs and this interpreter lacks. */
export function missingPackages(interpreter: Interpreter): string[] {
  return Object.entries(interpreter.packages)
    .filter(([, version]) => version === null)
    .map(([name]) => (name === 'torch' ? 'PyTorch' : name));
}

/** Whether models can be trained and sampled in it. */
export function canTrain(interpreter: Interpreter): boolean {
  return canServe(interpreter) && missingPackages(interpreter).length === 0;
}

/** "Python 3.11.7 · PyTorch 2.13.0". */
export function describeInterpreter(interpreter: Interpreter): string {
  const torch = interpreter.packages['torch'];
  const version = `Python ${interpreter.version.join('.')}`;
  return torch ? `${version} · PyTorch ${torch}` : `${version} · no PyTorch`;
}

/** "found on the PATH". */
export function describeSource(source: InterpreterSource): string {
  return SOURCE_WORDS[source];
}

/** The environment for a Python that we start: nothing that the shell set up for another Python leaks in. */
export function cleanEnvironment(extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env, ...extra };
  for (const name of ['PYTHONHOME', 'PYTHONSTARTUP', '__PYVENV_LAUNCHER__', 'ELECTRON_RUN_AS_NODE']) {
    Reflect.deleteProperty(env, name);
  }
  if (extra['PYTHONPATH'] === undefined) {
    delete env['PYTHONPATH'];
  }
  return env;
}

/** What starts our Python modules: unlike `python -m`, without the current folder as the first place to import from. */
export function launcherIn(extensionPath: string): string {
  return path.join(extensionPath, 'trickster_engine', 'system', 'launcher.py');
}

/** The programs of these names in the folders of the PATH, and in others. Relative entries are passed over. */
export async function programsOnPath(
  names: readonly string[],
  others: readonly string[] = [],
): Promise<string[]> {
  const folders = [...(process.env['PATH'] ?? '').split(path.delimiter), ...others].filter((folder) =>
    path.isAbsolute(folder),
  );
  const found: string[] = [];
  for (const name of names) {
    for (const folder of folders) {
      const candidate = path.join(folder, name);
      try {
        await fs.access(candidate, fs.constants.X_OK);
        found.push(candidate);
      } catch {
        // Not in this folder.
      }
    }
  }
  return found;
}

/**
 * Finds interpreters and remembers what it learned about them. The order is: the setting, the Python extension's choice,
 * Trickster's own environment, the PATH. In a folder that is not trusted only the person's own setting and the PATH
 * count, because the other choices can come from the folder.
 */
export class Interpreters implements vscode.Disposable {
  private readonly probed = new Map<string, Promise<Interpreter | undefined>>();
  private readonly changed = new vscode.EventEmitter<void>();
  private readonly disposables: { dispose(): unknown }[] = [this.changed];
  private pythonExtensionWatched = false;

  /** The answer to `forTraining` or `forServer` may be another one now. */
  readonly onDidChange = this.changed.event;

  constructor(
    private readonly log: vscode.LogOutputChannel,
    private readonly managedPython: string,
    /** A folder that only we write to. Python imports modules from where it is started, so never from the open folder. */
    private readonly safeFolder: string,
  ) {
    this.disposables.push(
      vscode.workspace.onDidChangeConfiguration((event) => {
        if (event.affectsConfiguration('trickster.interpreter')) {
          this.forget();
        }
      }),
    );
  }

  dispose(): void {
    this.disposables.forEach((disposable) => void disposable.dispose());
  }

  /** Look again: something was installed, or chosen. */
  forget(): void {
    this.probed.clear();
    this.changed.fire();
  }

  /** The first interpreter that the language server runs in. */
  forServer(): Promise<Interpreter | undefined> {
    return this.first(canServe);
  }

  /** The first interpreter that has all that training needs. */
  forTraining(): Promise<Interpreter | undefined> {
    return this.first(canTrain);
  }

  /** Every interpreter found, each once, in the order of preference. */
  async all(): Promise<Interpreter[]> {
    const found: Interpreter[] = [];
    for (const [candidate, source] of await this.candidates()) {
      const interpreter = await this.probe(candidate, source);
      if (interpreter) {
        found.push(interpreter);
      }
    }
    return found;
  }

  /** The interpreter at a path; undefined when it is not one, which is logged. */
  probe(candidate: string, source: InterpreterSource): Promise<Interpreter | undefined> {
    const known = this.probed.get(candidate);
    if (known) {
      return known;
    }
    const probing = this.ask(candidate, source);
    this.probed.set(candidate, probing);
    return probing;
  }

  /** What a person should know of the setting `trickster.interpreter`: why it is not used, and what is instead. */
  async problemWithSetting(): Promise<string | undefined> {
    const named = await fromSetting();
    if (named === undefined) {
      return undefined;
    }
    const instead = async (other: Promise<Interpreter | undefined>): Promise<string> => {
      const used = await other;
      return used ? ` ${used.path} (${describeSource(used.source)}) is used instead.` : '';
    };
    const setting = await this.probe(named, 'setting');
    if (!setting) {
      return `The setting trickster.interpreter names ${named}, which is no Python that starts.${await instead(this.forServer())}`;
    }
    if (!canServe(setting)) {
      return `The setting trickster.interpreter names Python ${setting.version.join('.')}; Trickster needs ${OLDEST_PYTHON.join('.')} or newer.${await instead(this.forServer())}`;
    }
    const training = await this.forTraining();
    // Trickster's own environment was made because of just that.
    return training && training.path !== named && training.source !== 'managed'
      ? `The Python that the setting trickster.interpreter names lacks ${missingPackages(setting).join(', ')}, so ${training.path} (${describeSource(training.source)}) trains.`
      : undefined;
  }

  private async first(fits: (interpreter: Interpreter) => boolean): Promise<Interpreter | undefined> {
    for (const [candidate, source] of await this.candidates()) {
      const interpreter = await this.probe(candidate, source);
      if (interpreter && fits(interpreter)) {
        return interpreter;
      }
    }
    return undefined;
  }

  private async candidates(): Promise<Map<string, InterpreterSource>> {
    const found = new Map<string, InterpreterSource>();
    const add = (candidate: string | undefined, source: InterpreterSource): void => {
      if (candidate && !found.has(candidate)) {
        found.set(candidate, source);
      }
    };
    add(await fromSetting(), 'setting');
    if (vscode.workspace.isTrusted) {
      add(await this.fromPythonExtension(), 'pythonExtension');
    }
    add(this.managedPython, 'managed');
    const names = process.platform === 'win32' ? ['python.exe', 'python3.exe'] : ['python3', 'python'];
    (await programsOnPath(names)).forEach((candidate) => add(candidate, 'path'));
    return found;
  }

  private async fromPythonExtension(): Promise<string | undefined> {
    const extension = vscode.extensions.getExtension<PythonExtensionApi>('ms-python.python');
    if (!extension) {
      return undefined;
    }
    try {
      const api = await extension.activate();
      const environments = api.environments;
      if (!environments) {
        return undefined;
      }
      if (!this.pythonExtensionWatched) {
        this.pythonExtensionWatched = true;
        this.disposables.push(environments.onDidChangeActiveEnvironmentPath(() => this.forget()));
      }
      const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
      const environment = await environments.resolveEnvironment(
        environments.getActiveEnvironmentPath(folder),
      );
      return environment?.executable.uri?.fsPath;
    } catch (error) {
      this.log.warn(`The Python extension could not say which interpreter is chosen: ${errorText(error)}`);
      return undefined;
    }
  }

  private async ask(candidate: string, source: InterpreterSource): Promise<Interpreter | undefined> {
    if (source !== 'path') {
      try {
        await fs.access(candidate, fs.constants.X_OK);
      } catch {
        if (source === 'setting') {
          this.log.warn(`trickster.interpreter names ${candidate}, which is not a program that can be run.`);
        }
        return undefined;
      }
    }
    try {
      const result = await runProcess(candidate, ['-c', PROBE], {
        cwd: this.safeFolder,
        env: cleanEnvironment(),
        timeoutMs: 20_000,
      });
      if (result.code !== 0) {
        throw new Error(result.stderr.trim() || `it ended with code ${String(result.code)}`);
      }
      const answer = JSON.parse(result.stdout) as Pick<Interpreter, 'version' | 'packages'>;
      const interpreter: Interpreter = { path: candidate, source, ...answer };
      this.log.info(`${candidate} (${describeSource(source)}): ${describeInterpreter(interpreter)}`);
      return interpreter;
    } catch (error) {
      this.log.warn(`${candidate} (${describeSource(source)}) cannot be used: ${errorText(error)}`);
      return undefined;
    }
  }
}

/**
 * The program that `trickster.interpreter` names: a path, one relative to the workspace's folder, or a name on the PATH.
 * In a folder that is not trusted VS Code hides the workspace's value.
 */
async function fromSetting(): Promise<string | undefined> {
  const trimmed = vscode.workspace.getConfiguration('trickster').get<string>('interpreter', '').trim();
  const folder = vscode.workspace.workspaceFolders?.[0]?.uri.fsPath;
  const named = trimmed.replace(/^~(?=[/\\]|$)/, os.homedir()).replaceAll('${workspaceFolder}', folder ?? '');
  // The person's own value may still lead into the folder: whatever lies there is not started before it is trusted.
  const inFolder = trimmed.includes('${workspaceFolder}') || (!path.isAbsolute(named) && /[/\\]/.test(named));
  if (!trimmed || (!vscode.workspace.isTrusted && inFolder)) {
    return undefined;
  }
  return resolveInterpreter(named, folder);
}

/** What a setting means: a bare name is looked up on the PATH, a relative path in the workspace's folder. */
export async function resolveInterpreter(named: string, folder: string | undefined): Promise<string> {
  if (path.isAbsolute(named)) {
    return named;
  }
  if (!/[/\\]/.test(named)) {
    const file = process.platform === 'win32' && !/\.exe$/i.test(named) ? `${named}.exe` : named;
    return (await programsOnPath([file]))[0] ?? named;
  }
  return folder === undefined ? named : path.join(folder, named);
}

/** The part of the Python extension's public API that is used here. */
interface PythonExtensionApi {
  environments?: {
    getActiveEnvironmentPath(resource?: vscode.Uri): unknown;
    resolveEnvironment(environment: unknown): Promise<{ executable: { uri?: vscode.Uri } } | undefined>;
    onDidChangeActiveEnvironmentPath: vscode.Event<unknown>;
  };
}
