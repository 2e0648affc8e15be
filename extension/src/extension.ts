import * as path from 'node:path';
import * as vscode from 'vscode';
import { AgentDoor } from './agents/mcp';
import { registerAgentTools } from './agents/tools';
import type { App } from './app';
import { registerCommands } from './commands';
import { GhostText } from './completion/ghostText';
import { explainNoPython, explainSetting } from './commands/interpreter';
import { Configs } from './ui/configs';
import { setContext } from './ui/context';
import { ManagedEnvironment, pythonIn } from './python/managedEnvironment';
import { createLog } from './ui/log';
import { Interpreters } from './python/interpreters';
import { Server } from './server/server';
import { ServerStatus } from './server/status';
import { TerminalCommand } from './python/terminal';
import { wakeWhenNeeded } from './server/waking';
import { Dashboard } from './dashboard/panel';
import { Evidence } from './lesson/evidence';
import { LessonProgress } from './lesson/progress';
import { STEPS } from './lesson/steps';
import { WalkthroughTicks } from './lesson/walkthrough';
import { publishRunContext } from './runs/context';
import { Samples } from './runs/samples';
import { RunStatusBar } from './runs/statusBar';
import { AlertMessages } from './runs/alerts';
import { RunStore } from './runs/store';
import { clickableView } from './views/click';
import { LESSON_VIEW, LessonTree } from './views/lessonTree';
import { Pages } from './views/pages';
import { RUNS_VIEW, RunsTree } from './views/runsTree';

let server: Server | undefined;

export function activate(context: vscode.ExtensionContext): void {
  const log = createLog();
  const managed = path.join(context.globalStorageUri.fsPath, 'environment');
  const interpreters = new Interpreters(log, pythonIn(managed), context.extensionPath);
  const environment = new ManagedEnvironment(
    managed,
    path.join(context.extensionPath, 'dist', 'training-requirements.txt'),
    interpreters,
    log,
  );
  const bytecode = path.join(context.globalStorageUri.fsPath, 'bytecode');
  server = new Server(context.extensionPath, bytecode, interpreters, log, () => runs.following());
  const runs = new RunStore(server, log);
  const samples = new Samples(runs);
  const configs = new Configs();
  const lesson = new LessonProgress(context.workspaceState);
  const pages = new Pages(context.extensionUri, context.workspaceState);
  const dashboard = new Dashboard(context.extensionUri, server, runs, lesson, interpreters, log);
  const ghostText = new GhostText({ server, interpreters, log }, context.workspaceState);
  const app: App = {
    log,
    interpreters,
    environment,
    server,
    runs,
    samples,
    configs,
    lesson,
    dashboard,
    ghostText,
    pages,
  };

  const lessonTree = new LessonTree(lesson);
  const runsTree = new RunsTree(runs);
  context.subscriptions.push(
    log,
    interpreters,
    server,
    runs,
    samples,
    configs,
    lesson,
    pages,
    dashboard,
    ghostText,
    lessonTree,
    runsTree,
    new AlertMessages(runs),
    new RunStatusBar(runs),
    new ServerStatus(server),
    new TerminalCommand(
      context.environmentVariableCollection,
      // Of this workspace: another window may train in another interpreter.
      path.join((context.storageUri ?? context.globalStorageUri).fsPath, 'bin'),
      context.extensionPath,
      bytecode,
      server,
      log,
    ),
    new AgentDoor(app, context.extension),
    registerAgentTools(app),
    new WalkthroughTicks(lesson),
    new Evidence(lesson, server, runs, configs),
    publishRunContext(runs),
    interpreters.onDidChange(() => {
      if (app.server.state.kind !== 'asleep') {
        void explainSetting(app);
      }
    }),
    registerCommands(app),
    server.onDidChangeState((state) => {
      if (state.kind === 'noPython') {
        void explainNoPython(app);
      } else if (state.kind === 'running') {
        configs.announce();
        void explainSetting(app);
      }
    }),
  );
  const views = showViews(context.subscriptions, lesson, lessonTree, runsTree);
  context.subscriptions.push(wakeWhenNeeded(server, configs, views));
  configs.see();
  setContext('active', true);
}

/** The checklist, with how far the reader has come beside its title, and the runs. */
function showViews(
  subscriptions: { dispose(): unknown }[],
  lesson: LessonProgress,
  lessonTree: LessonTree,
  runsTree: RunsTree,
): vscode.TreeView<unknown>[] {
  const lessonView = clickableView(subscriptions, LESSON_VIEW, lessonTree, ({ id }) =>
    vscode.commands.executeCommand('trickster.openLesson', id),
  );
  const count = (): void => {
    lessonView.description = vscode.l10n.t('{0} of {1}', lesson.doneCount(), STEPS.length);
  };
  count();
  const restricted = (): void => {
    // One line above the checklist; none where there is nothing to say.
    lessonView.message = vscode.workspace.isTrusted
      ? ''
      : vscode.l10n.t('Restricted Mode: Train asks for trust first.');
  };
  restricted();
  subscriptions.push(lesson.onDidComplete(count), vscode.workspace.onDidGrantWorkspaceTrust(restricted));
  const runsView = clickableView(subscriptions, RUNS_VIEW, runsTree, (node) =>
    vscode.commands.executeCommand(
      node.kind === 'run' ? 'trickster.openDashboard' : 'trickster.generate',
      node,
    ),
  );
  return [lessonView, runsView];
}

export async function deactivate(): Promise<void> {
  await server?.stop();
}
