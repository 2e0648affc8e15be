// run.mts [idle] [suite]: the suites inside the extension host of a real VS Code, with the packaged extension installed.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';
import { addRepeatingText, sampleFolder, smallConfig } from '../workbench/folders.mts';
import { CodeServer, PYTHON, VSIX, scratch } from '../workbench/server.mts';
import { closeBrowser, theBrowser } from '../workbench/workbench.mts';

const PATIENCE_MS = 240_000;
const ROOT = path.resolve(import.meta.dirname, '../..');
const wanted = process.argv.slice(2);

/** The folder of the suites that use everything. */
function usedFolder(): string {
  const folder = sampleFolder('host', { steps: 60, evaluateEvery: 30, saveEvery: 30 });
  addRepeatingText(folder);
  fs.writeFileSync(path.join(folder, 'broken.yaml'), smallConfig().replace('hidden_dim', 'hiden_dim'));
  return folder;
}

/** Two hundred YAML files that are no configs of ours, and one that is. */
function foreignFolder(): string {
  const folder = sampleFolder('foreign');
  for (let i = 0; i < 200; i++) {
    const manifest =
      i % 2 === 0
        ? `apiVersion: v1\nkind: Service\nmetadata:\n  name: service-${i}\nspec:\n  ports:\n    - port: ${8000 + i}\n`
        : `name: job-${i}\non: push\njobs:\n  train:\n    runs-on: ubuntu-latest\n    steps:\n      - run: make model_config\n`;
    fs.writeFileSync(path.join(folder, `other-${i}.${i % 3 === 0 ? 'yml' : 'yaml'}`), manifest);
  }
  return folder;
}

// A window runs tests only for an extension that it loads from a folder: the package, unpacked.
const unpacked = scratch('unpacked');
execFileSync(PYTHON, ['-m', 'zipfile', '-e', VSIX, unpacked]);
checkPackage(path.join(unpacked, 'extension'));
const server = await CodeServer.start({
  vsix: [],
  withoutTrust: true,
  env: { NODE_PATH: path.join(ROOT, 'node_modules') },
});
let code = 0;
try {
  for (const [suite, folder] of Object.entries({ idle: foreignFolder, suite: usedFolder })) {
    if (wanted.length === 0 || wanted.includes(suite)) {
      code ||= await runIn(folder(), await bundled(suite));
    }
  }
} catch (error) {
  code = 1;
  console.error(error);
} finally {
  await closeBrowser();
  await server.stop();
}
process.exit(code);

async function bundled(suite: string): Promise<string> {
  const outfile = path.join(ROOT, `build/tests/extension-host-${suite}.cjs`);
  await build({
    entryPoints: [path.join(import.meta.dirname, suite, 'index.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    sourcemap: 'inline',
    external: ['vscode', 'mocha'],
    logLevel: 'warning',
  });
  return outfile;
}

/** Run a suite inside the extension host of a window on a folder. Returns its exit code. */
async function runIn(folder: string, tests: string): Promise<number> {
  const context = await (await theBrowser()).newContext();
  const page = await context.newPage();
  const finished = new Promise<number>((resolve, reject) => {
    setTimeout(
      () => reject(new Error(`The suite did not end within ${PATIENCE_MS} ms.`)),
      PATIENCE_MS,
    ).unref();
    // Mocha's lines are indented; what else the window says to its console is not wanted.
    void page.exposeFunction('codeAutomationLog', (_type: string, values: unknown[]) => {
      if (/^\s/.test(String(values[0]))) {
        console.log(...values);
      }
    });
    void page.exposeFunction('codeAutomationExit', (exitCode: number) => resolve(exitCode));
  });
  // The workbench reads from its own page what to load; tell it to load the suite.
  await page.addInitScript(
    ({ authority, extension, extensionTests }) => {
      if (window !== window.top) {
        return;
      }
      new MutationObserver((_, observer) => {
        const meta = document.getElementById('vscode-workbench-web-configuration');
        if (meta) {
          observer.disconnect();
          const configuration = JSON.parse(meta.getAttribute('data-settings') ?? '{}') as Record<
            string,
            unknown
          >;
          configuration['developmentOptions'] = {
            extensions: [{ scheme: 'vscode-remote', authority, path: extension }],
            extensionTestsPath: { scheme: 'vscode-remote', authority, path: extensionTests },
          };
          meta.setAttribute('data-settings', JSON.stringify(configuration));
        }
      }).observe(document, { childList: true, subtree: true });
    },
    { authority: server.host, extension: path.join(unpacked, 'extension'), extensionTests: tests },
  );
  await page.goto(server.url(folder));
  try {
    return await finished;
  } finally {
    await context.close();
  }
}

/** The package has all of the Python that it should, nothing that was built on this machine, and is small. */
function checkPackage(extension: string): void {
  const files = (folder: string): string[] =>
    fs
      .readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)));
  const packed = new Set(files(extension));
  for (const part of ['trickster_engine', 'server/trickster_server']) {
    const missing = files(path.join(ROOT, part)).filter(
      (file) => !file.includes('__pycache__') && !packed.has(path.join(part, file)),
    );
    assert.deepEqual(missing, [], `${part} is not whole in the package`);
  }
  const built = [...packed].filter((file) => /\.(pyc|so|pyd|dylib|map)$/.test(file));
  assert.deepEqual(built, []);
  const megabytes = fs.statSync(VSIX).size / 1e6;
  assert.ok(megabytes < 3, `the package has ${megabytes} MB`);
}
