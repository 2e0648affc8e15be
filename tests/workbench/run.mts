// run.mts [NAME...]: the journeys, one after another, each in a VS Code of its own. Names select files of journeys/.
import fs from 'node:fs';
import path from 'node:path';
import Mocha from 'mocha';
import { closeBrowser } from './workbench.mts';

const folder = path.join(import.meta.dirname, 'journeys');
const wanted = process.argv.slice(2);
const files = fs
  .readdirSync(folder)
  .filter((file) => file.endsWith('.mts'))
  .filter((file) => wanted.length === 0 || wanted.includes(path.basename(file, '.mts')))
  .sort()
  .map((file) => path.join(folder, file));
if (files.length === 0) {
  throw new Error(`No journey is called ${wanted.join(' or ')}.`);
}

const mocha = new Mocha({
  timeout: 180_000,
  slow: 60_000,
  bail: false,
  forbidOnly: true,
  forbidPending: true,
});
files.forEach((file) => mocha.addFile(file));
await mocha.loadFilesAsync();
mocha.run((failures) => {
  void closeBrowser().finally(() => process.exit(failures === 0 ? 0 : 1));
});
