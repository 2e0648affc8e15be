import * as vscode from 'vscode';
import type { App } from '../app';
import { engineCode, errorCode, errorText } from '../ui/log';
import { ServerUnavailable } from '../server/server';
import { withTrust } from '../ui/trust';
import { explanation, openTroubleshooting } from '../lesson/troubleshooting';
import { ErrorCode } from '../protocol';
import { explainNoPython, selectInterpreter, setUpEnvironment } from './interpreter';
import { completeWithModel, stopCompleting } from './completion';
import { diagnose } from './diagnosis';
import { tryExperiment } from './experiment';
import { checkHardware, inspect, prepare, restartServer } from './inspection';
import { openConfig, openLesson } from './lesson';
import { newConfig } from './newConfig';
import { predict } from './prediction';
import { openReport, report } from './report';
import * as runs from './runs';

/** Buttons under a message, and what they do. */
type Ways = Record<string, () => unknown>;

type Action = (app: App, argument: unknown) => unknown;

/** Every command of package.json, by its name without the prefix. */
export const COMMANDS: Readonly<Record<string, Action>> = {
  train: runs.train,
  resume: runs.resume,
  stop: runs.stop,
  generate: runs.generate,
  completeWithModel,
  stopCompleting: (app) => stopCompleting(app),
  compare: runs.compare,
  openDashboard: runs.openDashboard,
  showSamples: runs.showSamples,
  revealRun: runs.revealRun,
  deleteRun: runs.deleteRun,
  report,
  openReport: (app) => openReport(app),
  newConfig,
  openConfig,
  openLesson,
  tryExperiment,
  predict,
  diagnose: (app) => diagnose(app),
  prepare,
  inspect,
  checkHardware,
  setUpEnvironment: (app) => setUpEnvironment(app),
  selectInterpreter,
  restartServer,
  showLogs: (app) => app.log.show(),
};

/**
 * The commands that work in a folder that is not trusted: they explain, or change nothing in it. All others ask for trust.
 * (The environment is the person's own, and no program of the folder is run to make it.)
 */
const WITHOUT_TRUST = new Set([
  ...['openConfig', 'openLesson', 'predict', 'revealRun', 'showLogs', 'stopCompleting'],
  ...['restartServer', 'selectInterpreter', 'setUpEnvironment'],
]);

export function registerCommands(app: App): vscode.Disposable {
  const perform = (name: string, action: Action, argument: unknown): Promise<void> =>
    guard(app, () => {
      const wanted = (): unknown => action(app, argument);
      return WITHOUT_TRUST.has(name) ? wanted() : withTrust(titleOf(name), () => guard(app, wanted));
    });
  return vscode.Disposable.from(
    ...Object.entries(COMMANDS).map(([name, action]) =>
      vscode.commands.registerCommand(`trickster.${name}`, (argument: unknown) =>
        perform(name, action, argument),
      ),
    ),
  );
}

/** The title of a command as the palette shows it. */
function titleOf(name: string): string {
  const manifest = vscode.extensions.getExtension('trickster.trickster')?.packageJSON as
    { contributes: { commands: { command: string; title: string }[] } } | undefined;
  return manifest?.contributes.commands.find(({ command }) => command === `trickster.${name}`)?.title ?? name;
}

/** Run an action; what goes wrong becomes one message with a way out. */
async function guard(app: App, action: () => unknown): Promise<void> {
  try {
    await action();
  } catch (error) {
    app.log.error(error instanceof Error ? (error.stack ?? error.message) : String(error));
    if (error instanceof ServerUnavailable && app.server.state.kind === 'noPython') {
      await explainNoPython(app);
      return;
    }
    const code = engineCode(error);
    const explained = code !== undefined && (await explanation(code)) !== undefined;
    const ways: Ways = {
      ...(explained ? { [vscode.l10n.t('Explain')]: () => openTroubleshooting(code) } : {}),
      ...waysOut(app, error),
    };
    const choice = await vscode.window.showErrorMessage(errorText(error), ...Object.keys(ways));
    if (choice) {
      await ways[choice]?.();
    }
  }
}

function waysOut(app: App, error: unknown): Ways {
  const showLogs = { [vscode.l10n.t('Show Logs')]: () => app.log.show() };
  if (error instanceof ServerUnavailable) {
    return { [vscode.l10n.t('Restart Server')]: () => app.server.restart(), ...showLogs };
  }
  switch (errorCode(error)) {
    case ErrorCode.configHasErrors:
      return {
        [vscode.l10n.t('Show Problems')]: () =>
          vscode.commands.executeCommand('workbench.actions.view.problems'),
      };
    case ErrorCode.noTorch:
    case ErrorCode.noInterpreter:
      return {
        [vscode.l10n.t('Set Up Environment')]: () => setUpEnvironment(app),
        [vscode.l10n.t('Select Interpreter')]: () => selectInterpreter(app),
      };
    case ErrorCode.notTrusted:
      return {
        [vscode.l10n.t('Manage Trust')]: () => vscode.commands.executeCommand('workbench.trust.manage'),
      };
    case ErrorCode.unknownRun:
    case ErrorCode.runIsLive:
    case ErrorCode.noCheckpoint:
      return {};
    default:
      return showLogs;
  }
}
