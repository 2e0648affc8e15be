import MochaModule from 'mocha';
import './commands';
import './config';
import './environment';
import './inside';
import './pages';
import './runs';
import './samples';
import './series';
import './text';
import './training';
import './agents';
import { suites } from './suites';

// mocha is an ES module; what `require` gives may have the class one level deeper.
const Mocha = (MochaModule as unknown as { default?: typeof MochaModule }).default ?? MochaModule;

/** What the extension host calls. Rejects when a test failed. */
export function run(): Promise<void> {
  const mocha = new Mocha({ ui: 'bdd', timeout: 60_000, forbidOnly: true, forbidPending: true });
  mocha.suite.emit('pre-require', globalThis, 'suite', mocha);
  suites.forEach((define) => define());
  return new Promise((resolve, reject) => {
    mocha.run((failures) => {
      if (failures > 0) {
        reject(new Error(`${failures} tests failed.`));
      } else {
        resolve();
      }
    });
  });
}
