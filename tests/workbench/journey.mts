// What every journey has: a VS Code, a page, pictures when it fails, and nobody training when it is over.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { CodeServer, type ServerOptions } from './server.mts';
import { Workbench } from './workbench.mts';

export interface Journey {
  server: CodeServer;
  workbench: Workbench;
}

/**
 * Describe a journey. `folder` is opened in a VS Code with these options, and trusted unless `restricted`; the steps share
 * one page, in order.
 */
export function journey(
  title: string,
  options: ServerOptions & {
    /** Undefined: a window with no folder. */
    folder: () => string | undefined;
    /** Leave the folder as VS Code opens it: in Restricted Mode. */
    restricted?: boolean;
    /** What the console may say because the journey does it on purpose. */
    expected?: RegExp;
  },
  steps: (at: Journey) => void,
): void {
  describe(title, () => {
    const at = {} as Journey;
    let broken = '';
    before(async () => {
      at.server = await CodeServer.start(options);
      const { restricted = false } = options;
      at.workbench = await Workbench.open(at.server, options.folder(), { restricted });
    });
    beforeEach(() => {
      if (broken) {
        throw new Error(`The journey ended at: ${broken}`);
      }
    });
    afterEach(async function () {
      if (this.currentTest?.state === 'failed') {
        broken = this.currentTest.title;
        await at.workbench.shot(
          `failed-${title}-${this.currentTest.title}`.replaceAll(/[^\w-]+/g, '-').slice(0, 100),
        );
        console.log(await at.workbench.described());
        console.log(extensionLog(at.server));
      }
    });
    steps(at);
    it('leaves nothing in the console', () => {
      const { expected } = options;
      assert.deepEqual(
        at.workbench.complaints.filter((complaint) => !expected?.test(complaint)),
        [],
      );
    });
    after(async () => {
      const opened: Partial<Journey> = at; // Where the first of them did not start, there is nothing to end.
      await opened.workbench?.close();
      await opened.server?.stop();
    });
  });
}

/** The extension's own log. */
export function extensionLog(server: CodeServer): string {
  return outputOf(server, 'Trickster');
}

/** Everything that was written to one of our output channels, over all windows. The panel holds only what is in sight. */
export function outputOf(server: CodeServer, channel: 'Trickster' | 'Trickster Samples'): string {
  const logs = path.join(server.userFolder, 'logs');
  return (fs.readdirSync(logs, { recursive: true }) as string[])
    .filter((file) => path.basename(file).replace(/^\d+-/, '') === `${channel}.log`)
    .sort()
    .map((file) => fs.readFileSync(path.join(logs, file), 'utf8'))
    .join('\n');
}
