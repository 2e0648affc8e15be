import * as path from 'node:path';
import * as vscode from 'vscode';
import type { App } from '../app';
import type { RunInfo } from '../protocol';
import { describe } from '../runs/statusBar';

/** What an agent may name: a run's folder, or its name. */
interface RunInput {
  run: string;
}

/**
 * Tools for the agents of VS Code: what only the window knows, and showing something to the person in it. Training itself
 * is asked for through `trickster mcp`.
 */
export function registerAgentTools(app: Pick<App, 'configs' | 'runs' | 'dashboard'>): vscode.Disposable {
  return vscode.Disposable.from(
    vscode.lm.registerTool<object>('trickster_openConfig', {
      prepareInvocation: () => ({
        invocationMessage: vscode.l10n.t('Looking at the config in the editor'),
      }),
      invoke: () => result(openConfig(app)),
    }),
    vscode.lm.registerTool<object>('trickster_shownRuns', {
      prepareInvocation: () => ({
        invocationMessage: vscode.l10n.t('Looking at the runs in the dashboard'),
      }),
      invoke: () => result(shownRuns(app)),
    }),
    vscode.lm.registerTool<RunInput>('trickster_showRun', {
      prepareInvocation: ({ input }) => {
        const { name } = runNamed(app, input.run);
        return {
          invocationMessage: vscode.l10n.t('Showing {0} in the dashboard', name),
          confirmationMessages: {
            title: vscode.l10n.t('Show a run in the dashboard?'),
            message: vscode.l10n.t('The agent asks to open the dashboard with {0}.', name),
          },
        };
      },
      invoke: ({ input }) => {
        const run = runNamed(app, input.run);
        app.dashboard.show({ runId: run.runId, tab: 'learning' }, { preserveFocus: true });
        return result({ shown: figures(run) });
      },
    }),
  );
}

/** The config in front of the person as it is in the editor, saved or not, and what is wrong with it. */
function openConfig({ configs }: Pick<App, 'configs'>): object {
  const uri = configs.inFront();
  const document = vscode.workspace.textDocuments.find((one) => one.uri.toString() === uri?.toString());
  if (!uri || !document) {
    return { config: null };
  }
  const problems = vscode.languages.getDiagnostics(uri).map(({ severity, code, message, range }) => ({
    severity: vscode.DiagnosticSeverity[severity],
    code: typeof code === 'object' ? code.value : (code ?? null),
    message,
    line: range.start.line + 1,
    column: range.start.character + 1,
  }));
  return { config: uri.fsPath, saved: !document.isDirty, problems, text: document.getText() };
}

/** The runs that the dashboard draws now; the newest where it is closed, and said so. */
function shownRuns({ runs, dashboard }: Pick<App, 'runs' | 'dashboard'>): object {
  const shown = dashboard.inSight().flatMap((runId) => runs.get(runId) ?? []);
  const newest = runs.all()[0];
  return shown.length > 0
    ? { dashboard: 'open', runs: shown.map(figures) }
    : { dashboard: 'closed', newest: newest ? figures(newest) : null };
}

function figures(run: RunInfo): object {
  return {
    run: run.name,
    folder: run.runDirectory,
    config: run.configPath,
    standing: describe(run),
    step: run.step,
    maxSteps: run.maxSteps,
    trainLoss: run.trainLoss,
    valLoss: run.valLoss,
    bestValLoss: run.bestValLoss,
    baselines: run.baselines,
    tokensPerSecond: run.tokensPerSecond,
    etaSeconds: run.etaSeconds,
    parameters: run.parameters,
    device: run.device,
    error: run.error,
    notices: run.notices.map(({ code, message }) => ({ code, message })),
    agents: run.actions,
  };
}

function runNamed({ runs }: Pick<App, 'runs'>, name: string): RunInfo {
  const run = runs
    .all()
    .find((one) => one.name === name || path.relative(one.runDirectory, name) === '' || one.runId === name);
  if (!run) {
    throw new Error(vscode.l10n.t('There is no run {0} in this window.', name));
  }
  return run;
}

function result(facts: object): vscode.LanguageModelToolResult {
  return new vscode.LanguageModelToolResult([new vscode.LanguageModelTextPart(JSON.stringify(facts))]);
}
