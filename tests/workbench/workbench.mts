// A page with the VS Code workbench in it, and the things that people do there.
import fs from 'node:fs';
import path from 'node:path';
import { chromium, type Browser, type FrameLocator, type Locator, type Page } from 'playwright-core';
import { need, type CodeServer } from './server.mts';
import { until } from './until.mts';

const PATIENCE_MS = 45_000;

export const SHOTS = path.resolve(process.env['SHOTS'] ?? 'build/screenshots');

let browser: Browser | undefined;

/** One browser for all tests of a process. */
export async function theBrowser(): Promise<Browser> {
  browser ??= await chromium.launch({
    executablePath: need('CHROMIUM'),
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--enable-precise-memory-info',
      '--js-flags=--expose-gc',
    ],
  });
  return browser;
}

export async function closeBrowser(): Promise<void> {
  await browser?.close();
  browser = undefined;
}

/** What in the console is about us: our names, our files, our page's policy. VS Code has worries of its own. */
const OURS = /trickster\.trickster|Trickster|dashboard\.(js|css)|Content Security Policy|Refused to/;

/** What Chromium says of a page that may run no script, such as the report's, where something tries to. */
const SCRIPTLESS = /Blocked script execution/;

/** Runs in the page: whether all of these words are in what VS Code remembers of the editors of this folder. */
async function editorsAreWrittenDown(words: string[]): Promise<boolean> {
  const opened = async (name: string): Promise<IDBDatabase> =>
    new Promise((resolve, reject) => {
      const request = indexedDB.open(name);
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(new Error(`${name} could not be read`));
    });
  for (const { name } of await indexedDB.databases()) {
    if (name?.startsWith('vscode-web-state-db-')) {
      const database = await opened(name);
      const store = database.transaction('ItemTable').objectStore('ItemTable');
      const editors = await new Promise((resolve) => {
        const request = store.get('memento/workbench.parts.editor');
        request.onsuccess = () => resolve(request.result);
      });
      database.close();
      if (typeof editors === 'string' && words.every((word) => editors.includes(word))) {
        return true;
      }
    }
  }
  return false;
}

export class Workbench {
  /** What the console said that may be our fault. */
  readonly complaints: string[] = [];

  readonly page: Page;
  readonly server: CodeServer;

  private constructor(page: Page, server: CodeServer) {
    this.page = page;
    this.server = server;
    page.setDefaultTimeout(PATIENCE_MS);
    page.on('console', (message) => {
      if (message.type() === 'error' && OURS.test(message.text()) && !SCRIPTLESS.test(message.text())) {
        this.complaints.push(message.text());
      }
    });
  }

  /** A window on a folder, which is trusted then unless `restricted`; or one with no folder. */
  static async open(
    server: CodeServer,
    folder: string | undefined,
    { width = 1400, height = 900, restricted = false } = {},
  ): Promise<Workbench> {
    const context = await (await theBrowser()).newContext({ viewport: { width, height } });
    const workbench = new Workbench(await context.newPage(), server);
    await workbench.page.goto(server.url(folder), { waitUntil: 'domcontentloaded' });
    await workbench.shown(folder !== undefined);
    if (folder !== undefined) {
      await (restricted ? workbench.browseRestricted() : workbench.trustFolder());
    }
    return workbench;
  }

  /** The workbench stands. */
  async shown(withFolder = true): Promise<void> {
    if (withFolder) {
      await this.page.locator('.monaco-workbench .explorer-folders-view .monaco-list').first().waitFor();
    }
    await this.page.locator('.monaco-workbench .statusbar').waitFor();
  }

  /** The item of the status bar that says that the folder is not trusted. */
  restrictedMode(): Locator {
    return this.page.locator('.statusbar-item').filter({ hasText: 'Restricted Mode' });
  }

  /** Where VS Code asks about trust when a folder opens, leave the folder as it is. */
  async browseRestricted(): Promise<void> {
    if (this.server.asksAtOpening) {
      await this.dialogButton("No, I don't trust").click();
    }
    await this.restrictedMode().waitFor();
  }

  /** Trust the folder as a person does who knows it: on VS Code's own page about that. */
  async trustFolder(): Promise<void> {
    await this.browseRestricted();
    await this.restrictedMode().click();
    const editor = this.page.locator('.workspace-trust-editor');
    await editor.locator('.monaco-button').filter({ hasText: 'Trust' }).first().click();
    await this.restrictedMode().waitFor({ state: 'hidden' });
    await this.closeFront();
    await editor.waitFor({ state: 'hidden' });
  }

  /** Close what is in front: an editor, or a dialog with one. */
  async closeFront(): Promise<void> {
    const dialog = this.page.locator('.monaco-modal-editor-block');
    if (await dialog.isVisible()) {
      await dialog.locator('.modal-editor-header .codicon-close').last().click();
    } else {
      await this.command('View: Close Editor');
    }
  }

  async close(): Promise<void> {
    await this.page.context().close();
  }

  /**
   * Reload the window, once VS Code has written down that these editors are open. In a browser it does so only every
   * few seconds and only when it is idle; what was opened after that is forgotten by VS Code itself.
   */
  async reload(...open: string[]): Promise<void> {
    // Not waitForFunction: it takes the promise of an asynchronous question for a yes.
    await until(`VS Code has written down that ${open.join(' and ')} are open`, async () =>
      this.page.evaluate(editorsAreWrittenDown, open),
    );
    await this.page.reload({ waitUntil: 'domcontentloaded' });
    await this.page.locator('.monaco-workbench .statusbar').waitFor();
  }

  async shot(name: string): Promise<void> {
    fs.mkdirSync(SHOTS, { recursive: true });
    await this.page.screenshot({ path: path.join(SHOTS, `${name}.png`) });
  }

  /** What is on the screen, in words, for whom only the log of a failure is left. */
  async described(): Promise<string> {
    const texts = (selector: string): Promise<string[]> => this.page.locator(selector).allInnerTexts();
    const pages = await Promise.all(
      this.page
        .frames()
        .filter((frame) => frame.name() === 'active-frame' || frame.parentFrame()?.parentFrame())
        .map((frame) => frame.locator('body').innerText({ timeout: 2000 }).catch(String)),
    );
    return [
      `Tabs: ${(await texts('.tabs-container .tab')).join(' | ')}`,
      `Status: ${(await texts('.statusbar-item')).filter(Boolean).join(' | ')}`,
      `Notifications: ${(await texts('.notification-toast')).join(' | ')}`,
      ...pages.map((page) => `Page: ${page.slice(0, 500)}`),
    ].join('\n');
  }

  // Palette and pickers

  quickInput(): Locator {
    return this.page.locator('.quick-input-widget:visible');
  }

  rows(): Locator {
    return this.quickInput().locator('.quick-input-list .monaco-list-row');
  }

  async pick(text: string | RegExp): Promise<void> {
    await this.rows().filter({ hasText: text }).first().click();
  }

  async openPalette(text: string): Promise<void> {
    await this.page.keyboard.press('F1');
    await this.quickInput().locator('.quick-input-box input').first().fill(`>${text}`, { timeout: 10_000 });
  }

  /**
   * Run a command by its full title. The palette lists what is allowed at the moment it opens, and a window that has
   * just come up may not know yet that its folder is trusted, or close it again: then it is opened again.
   */
  async command(title: string): Promise<void> {
    const row = this.rows().filter({ hasText: title }).first();
    for (let attempt = 1; ; attempt++) {
      try {
        await this.openPalette(title);
        await row.click({ timeout: 5000 });
        return;
      } catch (error) {
        if (attempt === 5) {
          throw error;
        }
        await this.page.keyboard.press('Escape');
      }
    }
  }

  async openFile(name: string): Promise<void> {
    await this.page.keyboard.press('Control+P');
    await this.quickInput().locator('.quick-input-box input').first().fill(name);
    await this.pick(name);
    await this.tab(name).waitFor();
    await this.editor().locator('.view-line').first().waitFor();
  }

  // Editors

  tab(name: string): Locator {
    return this.page.locator(`.tabs-container .tab[data-resource-name="${name}"]`);
  }

  editor(): Locator {
    return this.page.locator('.editor-group-container.active .editor-instance .monaco-editor').first();
  }

  squiggles(kind: 'error' | 'warning' = 'error'): Locator {
    return this.page.locator(`.editor-instance .squiggly-${kind}`);
  }

  // Notifications, dialogs, status bar

  toast(text: string | RegExp): Locator {
    return this.page.locator('.notification-toast').filter({ hasText: text }).first();
  }

  toastButton(text: string | RegExp, button: string): Locator {
    return this.toast(text).locator('.monaco-button').filter({ hasText: button });
  }

  dialogButton(name: string): Locator {
    return this.page.locator('.monaco-dialog-box .monaco-button').filter({ hasText: name });
  }

  status(): Locator {
    return this.page
      .locator(
        '.statusbar-item[id="trickster.trickster.trickster.run"], .statusbar-item[aria-label^="Trickster run"]',
      )
      .first();
  }

  // Sidebar

  async openSidebar(): Promise<void> {
    const button = this.page.locator('.activitybar a.action-label[aria-label^="Trickster"]');
    await button.waitFor();
    if (!(await this.view('Lesson').isVisible())) {
      await button.click();
    }
    await this.view('Lesson').waitFor();
  }

  view(name: string): Locator {
    return this.page
      .locator('.pane')
      .filter({ has: this.page.locator(`.pane-header[aria-label^="${name}"]`) });
  }

  lessonStep(text: string): Locator {
    return this.view('Lesson').locator('.monaco-list-row').filter({ hasText: text });
  }

  runRow(text: string | RegExp): Locator {
    return this.view('Runs').locator('.monaco-list-row').filter({ hasText: text }).first();
  }

  // Output panel

  /** The text of the Output panel, with ordinary spaces. */
  async outputText(): Promise<string> {
    const lines = this.page.locator('.part.panel .view-lines').first();
    return (await lines.innerText()).replaceAll('\u00a0', ' ');
  }

  async outputShows(text: string): Promise<void> {
    await this.page.waitForFunction(
      (wanted) =>
        document
          .querySelector<HTMLElement>('.part.panel .view-lines')
          ?.innerText.replaceAll('\u00a0', ' ')
          .includes(wanted) ?? false,
      text,
      { timeout: PATIENCE_MS },
    );
  }

  // Dashboard

  /** The inside of the newest webview: a page in a page in the page. */
  dashboard(): FrameLocator {
    return this.page
      .locator('iframe.webview.ready')
      .last()
      .contentFrame()
      .frameLocator('iframe#active-frame');
  }

  // Looks

  async theme(
    name: 'Dark Modern' | 'Light Modern' | 'Dark High Contrast' | 'Light High Contrast',
  ): Promise<void> {
    const kinds = {
      'Dark Modern': 'vs-dark',
      'Light Modern': 'vs',
      'Dark High Contrast': 'hc-black',
      'Light High Contrast': 'hc-light',
    };
    await this.command('Preferences: Color Theme');
    await this.quickInput().locator('.quick-input-box input').first().fill(name);
    await this.rows().filter({ hasText: name }).first().waitFor();
    await this.page.keyboard.press('Enter');
    await this.page.locator(`.monaco-workbench.${kinds[name]}`).waitFor();
    await this.quickInput().waitFor({ state: 'hidden' });
  }
}
