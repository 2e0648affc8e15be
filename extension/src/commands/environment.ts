import * as vscode from 'vscode';
import type { App } from '../app';
import { errorText } from '../common/logger';
import { Cancelled } from '../common/processes';
import {
  canServe,
  canTrain,
  describeInterpreter,
  describeSource,
  missingPackages,
  type Interpreter,
} from '../common/python';

const PYTHON_DOWNLOADS = 'https://www.python.org/downloads/';

/** An interpreter that can train; offers to make one where there is none. Undefined when the person says no. */
export async function ensureTraining(app: App): Promise<Interpreter | undefined> {
  const ready = await app.interpreters.forTraining();
  if (ready) {
    return ready;
  }
  const best = await app.interpreters.forServer();
  if (!best) {
    await explainNoPython(app);
    return undefined;
  }
  const missing = missingPackages(best);
  const what = missing.includes('PyTorch') ? 'PyTorch' : missing.join(', ');
  const choice = await vscode.window.showWarningMessage(
    `Training needs ${what}, which Python ${best.version.join('.')} (${best.path}) does not have. ` +
      'Trickster can make an environment of its own and leave yours alone.',
    'Set Up Environment',
    'Select Interpreter',
  );
  if (choice === 'Set Up Environment') {
    return setUpEnvironment(app, { quiet: true });
  }
  if (choice === 'Select Interpreter') {
    await selectInterpreter(app);
    return app.interpreters.forTraining();
  }
  return undefined;
}

let settingUp: Promise<Interpreter | undefined> | undefined;

/**
 * Make the managed environment, with progress and a way to cancel. Undefined when it was cancelled or failed. Who asks
 * while it is being made waits for the same one.
 */
export function setUpEnvironment(app: App, { quiet = false } = {}): Promise<Interpreter | undefined> {
  settingUp ??= makeEnvironment(app, quiet).finally(() => {
    settingUp = undefined;
  });
  return settingUp;
}

async function makeEnvironment(app: App, quiet: boolean): Promise<Interpreter | undefined> {
  const there = await app.environment.ready();
  if (there) {
    const choice = await vscode.window.showInformationMessage(
      `Trickster's own environment is there: ${describeInterpreter(there)}.`,
      'Make It Anew',
    );
    if (choice !== 'Make It Anew') {
      return app.interpreters.forTraining();
    }
    const live = app.runs.live().map((run) => run.name);
    if (live.length > 0) {
      void vscode.window.showWarningMessage(
        `Not while ${live.join(', ')} trains, maybe in that very environment. Stop it first: Stop saves, and Resume goes on.`,
      );
      return undefined;
    }
  }
  try {
    await vscode.window.withProgress(
      {
        location: vscode.ProgressLocation.Notification,
        title: 'Setting up an environment for training',
        cancellable: true,
      },
      async (progress, token) => {
        progress.report({ message: 'starting ([log](command:trickster.showLogs))' });
        await app.environment.setUp((message) => progress.report({ message }), token);
      },
    );
  } catch (error) {
    if (error instanceof Cancelled) {
      void vscode.window.showInformationMessage('The set-up was cancelled. Everything is as it was before.');
      return undefined;
    }
    const choice = await vscode.window.showErrorMessage(
      `The environment could not be set up. ${errorText(error)}`,
      'Try Again',
      'Show Logs',
      'Select Interpreter',
    );
    if (choice === 'Try Again') {
      return makeEnvironment(app, quiet);
    }
    if (choice === 'Show Logs') {
      app.log.show();
    } else if (choice === 'Select Interpreter') {
      await selectInterpreter(app);
    }
    return undefined;
  }
  const made = await app.interpreters.forTraining();
  if (made && !quiet) {
    void vscode.window.showInformationMessage(`Ready to train: ${describeInterpreter(made)}.`);
  }
  return made;
}

/** Choose the interpreter by hand, or go back to finding it automatically. */
export async function selectInterpreter(app: App): Promise<void> {
  type Choice = vscode.QuickPickItem & { value?: string; action?: 'browse' | 'setUp' };
  const picker = vscode.window.createQuickPick<Choice>();
  picker.title = 'Select Interpreter';
  picker.placeholder = 'Training needs a Python that has PyTorch';
  picker.busy = true;
  picker.matchOnDescription = true;
  picker.show();
  const chosen = new Promise<Choice | undefined>((resolve) => {
    picker.onDidAccept(() => resolve(picker.selectedItems[0]));
    picker.onDidHide(() => resolve(undefined));
  });
  const found = await app.interpreters.all();
  const items: Choice[] = found.filter(canServe).map((interpreter) => ({
    label: `$(${canTrain(interpreter) ? 'pass' : 'circle-slash'}) ${describeInterpreter(interpreter)}`,
    description: describeSource(interpreter.source),
    detail: interpreter.path,
    value: interpreter.path,
  }));
  picker.items = [
    { label: '$(wand) Find automatically', description: 'the first that can train', value: '' },
    ...items,
    { label: '', kind: vscode.QuickPickItemKind.Separator },
    { label: '$(folder-opened) Browse…', action: 'browse' },
    { label: '$(package) Set Up Environment', description: "a new one of Trickster's own", action: 'setUp' },
  ];
  picker.busy = false;
  const choice = await chosen;
  picker.dispose();
  if (!choice) {
    return;
  }
  if (choice.action === 'setUp') {
    await setUpEnvironment(app);
    return;
  }
  let value = choice.value;
  if (choice.action === 'browse') {
    const [file] = (await vscode.window.showOpenDialog({ title: 'Select a Python interpreter' })) ?? [];
    value = file?.fsPath;
  }
  if (value !== undefined) {
    const settings = vscode.workspace.getConfiguration('trickster');
    const inWorkspace = settings.inspect('interpreter')?.workspaceValue !== undefined;
    await settings.update(
      'interpreter',
      value || undefined,
      inWorkspace ? vscode.ConfigurationTarget.Workspace : vscode.ConfigurationTarget.Global,
    );
  }
}

let settingShown: string | undefined;

/** Say when the interpreter that somebody has chosen is not the one that is used. The same is not said twice. */
export async function explainSetting(app: App): Promise<void> {
  const problem = await app.interpreters.problemWithSetting();
  if (problem === settingShown) {
    return;
  }
  settingShown = problem;
  if (problem && (await vscode.window.showWarningMessage(problem, 'Select Interpreter'))) {
    await selectInterpreter(app);
  }
}

let noPythonShown: Promise<void> | undefined;

/** No Python at all: the one message that says what to install. Not shown twice at the same time. */
export function explainNoPython(app: App): Promise<void> {
  noPythonShown ??= showNoPython(app).finally(() => {
    noPythonShown = undefined;
  });
  return noPythonShown;
}

async function showNoPython(app: App): Promise<void> {
  const choice = await vscode.window.showErrorMessage(
    'Trickster needs Python 3.10 or newer, and none was found. Install Python, then choose Try Again.',
    'Get Python',
    'Select Interpreter',
    'Try Again',
  );
  if (choice === 'Get Python') {
    await vscode.env.openExternal(vscode.Uri.parse(PYTHON_DOWNLOADS));
  } else if (choice === 'Select Interpreter') {
    await selectInterpreter(app);
  } else if (choice === 'Try Again') {
    app.interpreters.forget();
    await app.server.restart();
  }
}
