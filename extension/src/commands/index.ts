import * as vscode from 'vscode';
import type { App } from '../app';
import { engineCode, errorCode, errorText } from '../common/logger';
import { ServerUnavailable } from '../common/server';
import { explanation, openTroubleshooting } from '../lesson/troubleshooting';
import { ErrorCode } from '../protocol';
import { explainNoPython, offerTrust, selectInterpreter, setUpEnvironment } from './environment';
import { tryExperiment } from './experiment';
import { checkHardware, inspect, prepare, restartServer } from './inspection';
import { openConfig, openLesson } from './lesson';
import { newConfig } from './newConfig';
import { openReport, report } from './report';
import * as runs from './runs';

/** Buttons under a message, and what they do. */
type Ways = Record<string, () => unknown>;

type Action = (app: App, argument: unknown) => Promise<unknown>;

/** Every command of package.json, by its name without the prefix. */
export const COMMANDS: Readonly<Record<string, Action>> = {
  train: runs.train,
  resume: runs.resume,
  stop: runs.stop,
  generate: runs.generate,
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
  prepare,
  inspect,
  checkHardware,
  setUpEnvironment: (app) => setUpEnvironment(app),
  selectInterpreter,
  restartServer,
  showLogs: (app) => {
    app.log.show();
    return Promise.resolve();
  },
};

export function registerCommands(app: App): vscode.Disposable {
  return vscode.Disposable.from(
    ...Object.entries(COMMANDS).map(([name, action]) =>
      vscode.commands.registerCommand(`trickster.${name}`, (argument: unknown) =>
        guard(app, () => action(app, argument)),
      ),
    ),
  );
}

/** Run an action; what goes wrong becomes one message with a way out. */
export async function guard(app: App, action: () => Promise<unknown>): Promise<void> {
  try {
    await action();
  } catch (error) {
    app.log.error(error instanceof Error ? (error.stack ?? error.message) : String(error));
    if (error instanceof ServerUnavailable && app.server.state.kind === 'noPython') {
      await explainNoPython(app);
      return;
    }
    if (errorCode(error) === ErrorCode.notTrusted) {
      await offerTrust(errorText(error));
      return;
    }
    const code = engineCode(error);
    const explained = code !== undefined && (await explanation(code)) !== undefined;
    const ways: Ways = {
      ...(explained ? { Explain: () => openTroubleshooting(code) } : {}),
      ...waysOut(app, error),
    };
    const choice = await vscode.window.showErrorMessage(errorText(error), ...Object.keys(ways));
    if (choice) {
      await ways[choice]?.();
    }
  }
}

function waysOut(app: App, error: unknown): Ways {
  const showLogs = { 'Show Logs': () => app.log.show() };
  if (error instanceof ServerUnavailable) {
    return { 'Restart Server': () => app.server.restart(), ...showLogs };
  }
  switch (errorCode(error)) {
    case ErrorCode.configHasErrors:
      return { 'Show Problems': () => vscode.commands.executeCommand('workbench.actions.view.problems') };
    case ErrorCode.noTorch:
    case ErrorCode.noInterpreter:
      return {
        'Set Up Environment': () => setUpEnvironment(app),
        'Select Interpreter': () => selectInterpreter(app),
      };
    case ErrorCode.unknownRun:
    case ErrorCode.runIsLive:
    case ErrorCode.noCheckpoint:
      return {};
    default:
      return showLogs;
  }
}
