// Starts and stops a real VS Code: code-server, which is VS Code with its extension host, with a profile of its own.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { behindPrefix, type Prefixed } from './prefix.mts';

/** Nothing is fetched from the network, and no window measures this machine. All else is as VS Code comes. */
const OFFLINE: Record<string, unknown> = {
  // Dozens of windows follow one another; what they show does not hang on how fast this machine is.
  'trickster.calibrate': false,
  'telemetry.telemetryLevel': 'off',
  'update.mode': 'none',
  'extensions.autoUpdate': false,
  'extensions.autoCheckUpdates': false,
};

export interface ServerOptions {
  /** Settings of the person. */
  settings?: Record<string, unknown>;
  /** Settings of the machine, where interpreters belong. */
  machineSettings?: Record<string, unknown>;
  /** No Restricted Mode: for what runs inside the extension host, where nobody can be asked. */
  withoutTrust?: boolean;
  env?: NodeJS.ProcessEnv;
  /** Packages to install before the start. */
  vsix?: string[];
  port?: number;
  /** Serve it below this path, as gateways do: `/user/somebody/`. */
  prefix?: string;
}

export function need(name: string): string {
  const value = process.env[name];
  if (!value) {
    throw new Error(`The environment variable ${name} is missing; these tests are started by make.`);
  }
  return value;
}

/** The interpreter that trains in the tests. */
export const PYTHON = path.resolve(need('PYTHON'));
export const VSIX = path.resolve(need('VSIX'));

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = net.createServer();
    probe.on('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as net.AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}

const cleanUps: (() => void)[] = [];
process.once('exit', () => cleanUps.reverse().forEach((cleanUp) => cleanUp()));

/** Do this at the end of the process; what was asked for last is done first. */
export function atExit(cleanUp: () => void): void {
  cleanUps.push(cleanUp);
}

/** An empty folder that is removed at the end of the process, unless KEEP is set. */
export function scratch(name: string): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), `trickster-${name}-`));
  atExit(() => {
    if (!process.env['KEEP']) {
      fs.rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
    }
  });
  return folder;
}

/** A running VS Code. */
export class CodeServer {
  readonly base: string;
  readonly host: string;
  /** User data of this profile: settings, logs, the storage of extensions. */
  readonly userFolder: string;
  readonly logFile: string;
  private readonly child: ChildProcess;
  private front: Prefixed | undefined;

  private constructor(child: ChildProcess, port: number, userFolder: string, logFile: string) {
    this.child = child;
    this.userFolder = userFolder;
    this.logFile = logFile;
    this.base = `http://127.0.0.1:${port}`;
    this.host = `127.0.0.1:${port}`;
  }

  static async start(options: ServerOptions = {}): Promise<CodeServer> {
    const install = need('WORKBENCH');
    const entry = path.join(install, 'server/node_modules/code-server/out/node/entry.js');
    const work = scratch('workbench');
    const user = path.join(work, 'user');
    const extensions = path.join(work, 'extensions');
    const logFile = path.join(work, 'server.log');
    fs.mkdirSync(path.join(user, 'User'), { recursive: true });
    fs.mkdirSync(path.join(user, 'Machine'), { recursive: true });
    fs.mkdirSync(extensions);
    const write = (file: string, value: unknown): void =>
      fs.writeFileSync(path.join(user, file), JSON.stringify(value, null, 2));
    write('User/settings.json', { ...OFFLINE, ...options.settings });
    write('Machine/settings.json', { 'trickster.interpreter': PYTHON, ...options.machineSettings });
    fs.writeFileSync(path.join(work, 'config.yaml'), 'auth: none\ncert: false\n');
    // No gallery: nothing is looked up on the network.
    // One thread a process: the models of these tests are so small that more of them only wait for each other.
    const env: NodeJS.ProcessEnv = {
      ...process.env,
      EXTENSIONS_GALLERY: '{}',
      OMP_NUM_THREADS: '1',
      ...options.env,
    };
    for (const name of Object.keys(env)) {
      if (name.startsWith('VSCODE_')) {
        Reflect.deleteProperty(env, name);
      }
    }
    const common = [
      entry,
      '--config',
      path.join(work, 'config.yaml'),
      '--user-data-dir',
      user,
      '--extensions-dir',
      extensions,
    ];
    for (const file of options.vsix ?? [VSIX]) {
      const installed = spawnSync(process.execPath, [...common, '--install-extension', file, '--force'], {
        env,
        encoding: 'utf8',
      });
      if (installed.status !== 0) {
        throw new Error(`${file} could not be installed: ${installed.stdout}${installed.stderr}`);
      }
    }
    const port = options.port ?? (await freePort());
    const log = fs.openSync(logFile, 'a');
    const child = spawn(
      process.execPath,
      [
        ...common,
        ...[
          '--auth',
          'none',
          '--bind-addr',
          `127.0.0.1:${port}`,
          '--disable-telemetry',
          '--disable-update-check',
        ],
        ...['--disable-getting-started-override', '--ignore-last-opened'],
        ...(options.withoutTrust ? ['--disable-workspace-trust'] : []),
      ],
      // A group of its own: ending it takes the extension host and the language server along, but no training run.
      { env, stdio: ['ignore', log, log], detached: true },
    );
    const server = new CodeServer(child, port, user, logFile);
    await server.answering();
    if (options.prefix !== undefined) {
      server.front = await behindPrefix(port, await freePort(), options.prefix);
    }
    return server;
  }

  /** Whether this VS Code asks about trust when a folder is opened, as it did for long: newer ones open it restricted. */
  get asksAtOpening(): boolean {
    const file = path.join(need('WORKBENCH'), 'server/node_modules/code-server/package.json');
    const { version } = JSON.parse(fs.readFileSync(file, 'utf8')) as { version: string };
    return version.startsWith('4.100.');
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** The address of a window on a folder, or of one with no folder. */
  url(folder?: string): string {
    const base = this.front?.base ?? this.base;
    return folder === undefined ? `${base}/?ew=true` : `${base}/?folder=${encodeURIComponent(folder)}`;
  }

  /** What the browser asked for outside of the prefix. */
  get astray(): string[] {
    return this.front?.astray ?? [];
  }

  async stop(): Promise<void> {
    this.front?.close();
    if (this.child.exitCode !== null || this.child.pid === undefined) {
      return;
    }
    const gone = new Promise<void>((resolve) => this.child.once('exit', () => resolve()));
    const kill = (signal: NodeJS.Signals): void => {
      try {
        process.kill(-(this.child.pid ?? 0), signal);
      } catch {
        // Gone already.
      }
    };
    kill('SIGTERM');
    const patience = setTimeout(() => kill('SIGKILL'), 5000);
    await gone;
    clearTimeout(patience);
  }

  private async answering(): Promise<void> {
    for (let attempt = 0; attempt < 300; attempt++) {
      if (this.child.exitCode !== null) {
        break;
      }
      try {
        if ((await fetch(`${this.base}/healthz`)).ok) {
          return;
        }
      } catch {
        // Not listening yet.
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`VS Code did not start:\n${fs.readFileSync(this.logFile, 'utf8')}`);
  }
}
