import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import * as vscode from 'vscode';
import { errorText } from '../ui/log';
import { Cancelled, runProcess } from './processes';
import {
  canServe,
  canTrain,
  cleanEnvironment,
  describeInterpreter,
  type Interpreter,
  type Interpreters,
  programsOnPath,
} from './interpreters';

/** Free space below which PyTorch's CPU build and its companions do not fit, in bytes. */
const SPACE_NEEDED = 2e9;

/** The program of a virtual environment that lies in `folder`. */
export function pythonIn(folder: string): string {
  return process.platform === 'win32'
    ? path.join(folder, 'Scripts', 'python.exe')
    : path.join(folder, 'bin', 'python');
}

/** A failure that says what to do about it. */
class SetUpError extends Error {}

type Report = (message: string) => void;

/**
 * Trickster's own environment: a virtual environment in the extension's storage with PyTorch and what the engine needs.
 * Made with uv where it is installed, else with venv and pip; the person's own mirrors and settings of either apply.
 */
export class ManagedEnvironment {
  readonly python: string;
  /** Where an environment waits while another is made in its place. */
  private readonly aside: string;

  constructor(
    private readonly folder: string,
    private readonly requirements: string,
    private readonly interpreters: Interpreters,
    private readonly log: vscode.LogOutputChannel,
  ) {
    this.python = pythonIn(folder);
    this.aside = `${folder}.before`;
  }

  /** The environment, where it is there and has all that training needs. */
  async ready(): Promise<Interpreter | undefined> {
    const made = await this.interpreters.probe(this.python, 'managed');
    return made && canTrain(made) ? made : undefined;
  }

  /**
   * Make the environment. Throws `Cancelled`, or `SetUpError` with a message for people; after either nothing half-made
   * is left, and one that was there before is there again.
   */
  async setUp(report: Report, token: vscode.CancellationToken): Promise<void> {
    this.log.info(`Setting up an environment for training in ${this.folder}`);
    await this.checkSpace();
    await this.setAside();
    try {
      await this.create(report, token);
      await this.install(report, token);
      report(vscode.l10n.t('checking that PyTorch starts'));
      await this.verify(token);
    } catch (error) {
      await fs.rm(this.folder, { recursive: true, force: true, maxRetries: 5 }).catch((failure: unknown) => {
        this.log.warn(`${this.folder} could not be removed: ${errorText(failure)}`);
      });
      if (await exists(this.aside)) {
        await fs.rename(this.aside, this.folder);
      }
      this.interpreters.forget();
      if (error instanceof Cancelled) {
        this.log.info('The set-up was cancelled; everything is as it was before.');
      } else {
        this.log.error(`The set-up failed: ${errorText(error)}`);
      }
      throw error;
    }
    await fs.rm(this.aside, { recursive: true, force: true, maxRetries: 5 });
    this.interpreters.forget();
    const made = await this.ready();
    if (!made) {
      throw new SetUpError(
        vscode.l10n.t('The environment was created, but packages are missing. The log lists them.'),
      );
    }
    this.log.info(`The environment is ready: ${describeInterpreter(made)}`);
  }

  /** One that was set aside earlier and is still there is the last whole one: that set-up never came to its end. */
  private async setAside(): Promise<void> {
    if (await exists(this.aside)) {
      await fs.rm(this.folder, { recursive: true, force: true, maxRetries: 5 });
    } else if (await exists(this.folder)) {
      try {
        await fs.rename(this.folder, this.aside);
      } catch (error) {
        throw new SetUpError(
          vscode.l10n.t(
            '{0} is in use ({1}). Stop the run that uses it, close other windows, and try again.',
            this.folder,
            errorText(error),
          ),
        );
      }
    }
  }

  private async checkSpace(): Promise<void> {
    const parent = path.dirname(this.folder);
    await fs.mkdir(parent, { recursive: true });
    const { bavail, bsize } = await fs.statfs(parent);
    const free = bavail * bsize;
    if (free < SPACE_NEEDED) {
      throw new SetUpError(
        vscode.l10n.t(
          'PyTorch needs about 2 GB of disk space, and {0} has {1} GB free. Free some space and try again.',
          parent,
          (free / 1e9).toFixed(1),
        ),
      );
    }
  }

  private async create(report: Report, token: vscode.CancellationToken): Promise<void> {
    report(vscode.l10n.t('creating a virtual environment'));
    const base = (await this.interpreters.all()).find(
      (found) => canServe(found) && found.source !== 'managed',
    );
    const uv = await findUv();
    if (uv) {
      // Without a Python at hand uv brings one.
      await this.step(uv, ['venv', this.folder, '--python', base?.path ?? '3.12'], token, report);
      return;
    }
    if (!base) {
      throw new SetUpError(
        vscode.l10n.t('No Python 3.10 or newer was found. Install Python from python.org, then try again.'),
      );
    }
    try {
      await this.step(base.path, ['-m', 'venv', '--clear', this.folder], token, report);
    } catch (error) {
      if (error instanceof SetUpError && /ensurepip|python3-venv/.test(error.message)) {
        throw new SetUpError(
          vscode.l10n.t(
            '{0} cannot create virtual environments: here the venv module is a separate package. Install it (on Debian and Ubuntu: sudo apt install python3-venv), then try again.',
            base.path,
          ),
        );
      }
      throw error;
    }
  }

  private async install(report: Report, token: vscode.CancellationToken): Promise<void> {
    const extra = vscode.workspace
      .getConfiguration('trickster.environment')
      .get<string[]>('pipArguments', []);
    const chosen = extra.length > 0;
    const systemUv = await findUv();
    const pip = [this.python, '-m', 'pip', 'install', '--no-input', '-r', this.requirements, ...extra];

    // On Linux the usual build of PyTorch carries gigabytes for NVIDIA cards. uv knows where the build without them is.
    const wantsSmallBuild = !chosen && process.platform === 'linux' && !(await hasNvidia());
    let uv = systemUv;
    if (!uv && wantsSmallBuild) {
      report(vscode.l10n.t('downloading the installer'));
      const fetched = await this.tryStep(
        [this.python, '-m', 'pip', 'install', '--no-input', 'uv'],
        token,
        report,
      );
      uv = fetched ? path.join(path.dirname(this.python), 'uv') : undefined;
    }
    if (uv) {
      const command = [uv, 'pip', 'install', '--python', this.python, '-r', this.requirements, ...extra];
      if (!chosen && (await this.tryStep([...command, '--torch-backend', 'auto'], token, report))) {
        return;
      }
      if (systemUv) {
        // Its own index does not have the build, or cannot be reached: take what the person's configuration offers.
        const [program = '', ...args] = command;
        await this.step(program, args, token, report);
        return;
      }
    }
    const [program = '', ...args] = pip;
    await this.step(program, args, token, report);
  }

  private async verify(token: vscode.CancellationToken): Promise<void> {
    const result = await runProcess(this.python, ['-c', 'import torch; print(torch.ones(2).sum().item())'], {
      cwd: this.folder,
      env: cleanEnvironment(),
      token,
    });
    if (result.code !== 0) {
      const last = result.stderr.trim().split('\n').at(-1) ?? '';
      throw new SetUpError(vscode.l10n.t('PyTorch was installed but does not start here: {0}', last));
    }
  }

  /** One program of the set-up. Throws `SetUpError` with the end of what it printed when it fails. */
  private async step(
    program: string,
    args: readonly string[],
    token: vscode.CancellationToken,
    report: Report,
  ): Promise<void> {
    this.log.info(`$ ${[program, ...args].join(' ')}`);
    let result;
    try {
      result = await runProcess(program, args, {
        cwd: path.dirname(this.folder),
        env: cleanEnvironment({
          PYTHONUNBUFFERED: '1',
          PIP_DISABLE_PIP_VERSION_CHECK: '1',
          VIRTUAL_ENV: undefined,
        }),
        token,
        onLine: (line) => {
          if (line.trim()) {
            this.log.info(`  ${line.trimEnd()}`);
            const news = installerNews(line);
            if (news) {
              report(news);
            }
          }
        },
      });
    } catch (error) {
      if (error instanceof Cancelled) {
        throw error;
      }
      throw new SetUpError(vscode.l10n.t('{0} could not be started: {1}', program, errorText(error)));
    }
    if (result.code !== 0) {
      throw new SetUpError(explainFailure(`${result.stdout}\n${result.stderr}`, path.basename(program)));
    }
  }

  private async tryStep(
    [program = '', ...args]: readonly string[],
    token: vscode.CancellationToken,
    report: Report,
  ): Promise<boolean> {
    try {
      await this.step(program, args, token, report);
      return true;
    } catch (error) {
      if (error instanceof Cancelled) {
        throw error;
      }
      this.log.info(`That way did not work (${errorText(error)}); trying another one.`);
      return false;
    }
  }
}

async function exists(file: string): Promise<boolean> {
  return fs.access(file).then(
    () => true,
    () => false,
  );
}

/** uv, where it is installed: on the PATH or where its installer puts it. */
async function findUv(): Promise<string | undefined> {
  const name = process.platform === 'win32' ? 'uv.exe' : 'uv';
  const home = process.env['HOME'] ?? process.env['USERPROFILE'] ?? '';
  const usual = [path.join(home, '.local', 'bin'), path.join(home, '.cargo', 'bin')];
  return (await programsOnPath([name], usual))[0];
}

async function hasNvidia(): Promise<boolean> {
  const name = process.platform === 'win32' ? 'nvidia-smi.exe' : 'nvidia-smi';
  const [program] = await programsOnPath([name]);
  if (!program) {
    return false;
  }
  try {
    const { code, stdout } = await runProcess(program, ['-L'], { timeoutMs: 10_000 });
    return code === 0 && stdout.includes('GPU');
  } catch {
    return false;
  }
}

/** The lines of pip and uv that say something about progress, in words for a notification. */
export function installerNews(line: string): string | undefined {
  const text = line.trim();
  const collecting = /^Collecting ([\w.-]+)/.exec(text);
  if (collecting) {
    return vscode.l10n.t('looking up {0}', collecting[1] ?? '');
  }
  const downloading =
    /^Downloading ([\w.]+?)-\d\S* \(([^)]+)\)/.exec(text) ?? /^Downloading ([\w.-]+) \(([^)]+)\)/.exec(text);
  if (downloading) {
    return vscode.l10n.t('downloading {0} ({1})', downloading[1] ?? '', downloading[2] ?? '');
  }
  if (text.startsWith('Installing collected packages') || text.startsWith('Prepared ')) {
    return vscode.l10n.t('installing the packages');
  }
  return undefined;
}

/** What to tell a person about a failed installer: the usual causes in plain words, else its last words. */
export function explainFailure(output: string, program: string): string {
  if (/No space left on device|ENOSPC/i.test(output)) {
    return vscode.l10n.t('The disk is full. Free some space (PyTorch needs about 2 GB) and try again.');
  }
  if (/ensurepip is not available|python3-venv/i.test(output)) {
    return 'ensurepip is not available (python3-venv).';
  }
  if (
    /No matching distribution found for torch|no version of torch|no wheels with a matching/i.test(output)
  ) {
    return vscode.l10n.t(
      'PyTorch offers no build for this Python and machine. A Python between 3.10 and 3.13 usually helps: install one, choose it with Select Interpreter, and try again.',
    );
  }
  if (
    /Temporary failure in name resolution|Could not resolve host|Failed to resolve|dns error|ConnectTimeout|Network is unreachable|Connection refused/i.test(
      output,
    )
  ) {
    return vscode.l10n.t(
      'The packages could not be downloaded: no connection. Check the network, or name a mirror in the setting trickster.environment.pipArguments, and try again.',
    );
  }
  const words = output
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean);
  const last = words.findLast((line) => /error/i.test(line)) ?? words.at(-1) ?? 'no reason given';
  return vscode.l10n.t('{0} failed: {1}', program, last);
}
