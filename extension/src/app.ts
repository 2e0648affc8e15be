import type * as vscode from 'vscode';
import type { Configs } from './common/configs';
import type { ManagedEnvironment } from './common/environment';
import type { Interpreters } from './common/python';
import type { Server } from './common/server';
import type { Dashboard } from './dashboard/panel';
import type { LessonProgress } from './lesson/progress';
import type { Pages } from './views/pages';
import type { Reports } from './views/reports';
import type { RunStore } from './runs/store';
import type { Samples } from './runs/samples';

/** Everything a command can need, made once by `activate`. */
export interface App {
  log: vscode.LogOutputChannel;
  interpreters: Interpreters;
  environment: ManagedEnvironment;
  server: Server;
  runs: RunStore;
  samples: Samples;
  configs: Configs;
  lesson: LessonProgress;
  dashboard: Dashboard;
  reports: Reports;
  pages: Pages;
}
