// Bundles the extension host's half and the dashboard's half into dist/. `--production` minifies, `--watch` rebuilds.
// Which packages' code went into them stands in dist/bundled-packages.json, for the bill of materials.
import { writeFile } from 'node:fs/promises';
import { build, context } from 'esbuild';

const production = process.argv.includes('--production');
const watch = process.argv.includes('--watch');
const shared = {
  bundle: true,
  minify: production,
  sourcemap: production ? false : 'linked',
  logLevel: 'info',
  legalComments: 'none',
  target: 'es2022',
  metafile: true,
};
const bundles = [
  {
    ...shared,
    entryPoints: ['extension/src/extension.ts'],
    outfile: 'dist/extension.js',
    platform: 'node',
    format: 'cjs',
    external: ['vscode'],
  },
  {
    ...shared,
    entryPoints: ['extension/src/dashboard/webview/main.ts'],
    outfile: 'dist/dashboard.js',
    platform: 'browser',
    format: 'iife',
    loader: { '.css': 'css' },
  },
];

if (watch) {
  await Promise.all(bundles.map(async (options) => (await context(options)).watch()));
} else {
  const results = await Promise.all(bundles.map((options) => build(options)));
  const inputs = results.flatMap(({ metafile }) => Object.keys(metafile.inputs));
  const folders = inputs
    .map((input) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0])
    .filter(Boolean);
  await writeFile('dist/bundled-packages.json', `${JSON.stringify([...new Set(folders)].sort(), null, 2)}\n`);
}
