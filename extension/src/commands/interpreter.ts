import * as vscode from 'vscode';
import type { App } from '../app';
import { errorText } from '../ui/log';
import { Cancelled } from '../python/processes';
import {
  canServe,
  canTrain,
  describeInterpreter,
  describeSource,
  missingPackages,
  type Interpreter,
} from '../python/interpreters';

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
    vscode.l10n.t(
      'Training needs {0}, which Python {1} ({2}) does not have. Trickster can create its own environment and leave yours unchanged.',
      what,
      best.version.join('.'),
      best.path,
    ),
    vscode.l10n.t('Set Up Environment'),
    vscode.l10n.t('Select Interpreter'),
  );
  if (choice === vscode.l10n.t('Set Up Environment')) {
    return setUpEnvironment(app, { quiet: true });
  }
  if (choice === vscode.l10n.t('Select Interpreter')) {
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
      vscode.l10n.t("Trickster's environment already exists: {0}.", describeInterpreter(there)),
      vscode.l10n.t('Recreate'),
    );
    if (choice !== vscode.l10n.t('Recreate')) {
      return app.interpreters.forTraining();
    }
    const live = app.runs.live().map((run) => run.name);
    if (live.length > 0) {
      void vscode.window.showWarningMessage(
        vscode.l10n.t(
          '{0} is training, perhaps in this environment. Stop it first: Stop saves, and Resume continues.',
          live.join(', '),
        ),
      );
      return undefined;
    }
  }
  try {
    await vscode.window.withProgress(
      {
        location: vscode.ProgressLocation.Notification,
        title: vscode.l10n.t('Setting up an environment for training'),
        cancellable: true,
      },
      async (progress, token) => {
        progress.report({
          message: `${vscode.l10n.t('starting')} ([${vscode.l10n.t('log')}](command:trickster.showLogs))`,
        });
        await app.environment.setUp((message) => progress.report({ message }), token);
      },
    );
  } catch (error) {
    if (error instanceof Cancelled) {
      void vscode.window.showInformationMessage(
        vscode.l10n.t('The set-up was cancelled. Nothing has changed.'),
      );
      return undefined;
    }
    const choice = await vscode.window.showErrorMessage(
      vscode.l10n.t('The environment could not be set up. {0}', errorText(error)),
      vscode.l10n.t('Try Again'),
      vscode.l10n.t('Show Logs'),
      vscode.l10n.t('Select Interpreter'),
    );
    if (choice === vscode.l10n.t('Try Again')) {
      return makeEnvironment(app, quiet);
    }
    if (choice === vscode.l10n.t('Show Logs')) {
      app.log.show();
    } else if (choice === vscode.l10n.t('Select Interpreter')) {
      await selectInterpreter(app);
    }
    return undefined;
  }
  const made = await app.interpreters.forTraining();
  if (made && !quiet) {
    void vscode.window.showInformationMessage(
      vscode.l10n.t('Ready to train: {0}.', describeInterpreter(made)),
    );
  }
  return made;
}

/** Choose the interpreter by hand, or go back to finding it automatically. */
export async function selectInterpreter(app: App): Promise<void> {
  type Choice = vscode.QuickPickItem & { value?: string; action?: 'browse' | 'setUp' };
  const picker = vscode.window.createQuickPick<Choice>();
  picker.title = vscode.l10n.t('Select Interpreter');
  picker.placeholder = vscode.l10n.t('Training needs a Python that has PyTorch');
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
    {
      label: `$(wand) ${vscode.l10n.t('Find automatically')}`,
      description: vscode.l10n.t('the first that can train'),
      value: '',
    },
    ...items,
    { label: '', kind: vscode.QuickPickItemKind.Separator },
    { label: `$(folder-opened) ${vscode.l10n.t('Browse…')}`, action: 'browse' },
    {
      label: `$(package) ${vscode.l10n.t('Set Up Environment')}`,
      description: vscode.l10n.t('a new environment for Trickster'),
      action: 'setUp',
    },
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
    const [file] =
      (await vscode.window.showOpenDialog({ title: vscode.l10n.t('Select a Python interpreter') })) ?? [];
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
  if (problem && (await vscode.window.showWarningMessage(problem, vscode.l10n.t('Select Interpreter')))) {
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
    vscode.l10n.t(
      'Trickster needs Python 3.10 or newer, and none was found. Install Python, then choose Try Again.',
    ),
    vscode.l10n.t('Get Python'),
    vscode.l10n.t('Select Interpreter'),
    vscode.l10n.t('Try Again'),
  );
  if (choice === vscode.l10n.t('Get Python')) {
    await vscode.env.openExternal(vscode.Uri.parse(PYTHON_DOWNLOADS));
  } else if (choice === vscode.l10n.t('Select Interpreter')) {
    await selectInterpreter(app);
  } else if (choice === vscode.l10n.t('Try Again')) {
    app.interpreters.forget();
    await app.server.restart();
  }
}
