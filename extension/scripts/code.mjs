// `make code`: a real VS Code on a sample folder with the extension in it. The desktop's `code` where it is installed,
// else the workbench in the browser. The folder is build/sample; what is trained there stays.
import { spawnSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '../..');
const sample = path.join(root, 'build/sample');
const profile = path.join(root, 'build/code');
const vsix = path.resolve(process.env.VSIX ?? path.join(root, 'build/trickster.vsix'));
const python = path.resolve(process.env.PYTHON ?? '.venv/bin/python');
const port = process.env.PORT ?? '8421';

fs.mkdirSync(sample, { recursive: true });
const preset = path.join(root, 'trickster_engine/config/presets/pico.yaml');
const config = path.join(sample, 'pico.trickster.yaml');
if (!fs.existsSync(config)) {
  fs.copyFileSync(preset, config);
}

const settings = {
  'trickster.interpreter': python,
  'workbench.startupEditor': 'none',
  'extensions.ignoreRecommendations': true,
};

function writeSettings(folder) {
  const file = path.join(folder, 'settings.json');
  if (!fs.existsSync(file)) {
    fs.mkdirSync(folder, { recursive: true });
    fs.writeFileSync(file, JSON.stringify(settings, null, 2));
  }
}

function run(command, args, options = {}) {
  const result = spawnSync(command, args, { stdio: 'inherit', ...options });
  if (result.status !== 0) {
    process.exit(result.status ?? 1);
  }
}

const folders = ['--user-data-dir', profile, '--extensions-dir', path.join(profile, 'extensions')];
const desktop = spawnSync('code', ['--version'], { stdio: 'ignore' }).status === 0;
if (desktop) {
  writeSettings(path.join(profile, 'User'));
  run('code', [...folders, '--install-extension', vsix, '--force']);
  run('code', [...folders, '--disable-workspace-trust', sample, config]);
} else {
  const entry = path.join(process.env.WORKBENCH ?? '', 'server/node_modules/code-server/out/node/entry.js');
  if (!fs.existsSync(entry)) {
    console.error(
      'Neither VS Code nor its workbench is installed. Run `make code`, which installs the workbench.',
    );
    process.exit(1);
  }
  writeSettings(path.join(profile, 'Machine'));
  fs.writeFileSync(path.join(profile, 'config.yaml'), 'auth: none\ncert: false\n');
  const env = { ...process.env, EXTENSIONS_GALLERY: '{}' };
  const common = [entry, '--config', path.join(profile, 'config.yaml'), ...folders];
  run(process.execPath, [...common, '--install-extension', vsix, '--force'], { env });
  const server = spawn(
    process.execPath,
    [
      ...common,
      '--auth',
      'none',
      '--bind-addr',
      `127.0.0.1:${port}`,
      '--disable-telemetry',
      '--disable-update-check',
      '--disable-workspace-trust',
      '--disable-getting-started-override',
    ],
    { env, stdio: ['ignore', 'ignore', 'inherit'] },
  );
  server.on('exit', (code) => process.exit(code ?? 0));
  for (;;) {
    const answers = await fetch(`http://127.0.0.1:${port}/healthz`).then(
      (answer) => answer.ok,
      () => false,
    );
    if (answers) {
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  console.log(`VS Code with Trickster: http://127.0.0.1:${port}/?folder=${encodeURIComponent(sample)}`);
  console.log('Open that address in a browser on this machine. Ctrl+C ends it; runs go on.');
}
