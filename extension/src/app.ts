import type * as vscode from 'vscode';
import type { Configs } from './ui/configs';
import type { ManagedEnvironment } from './python/managedEnvironment';
import type { Interpreters } from './python/interpreters';
import type { Server } from './server/server';
import type { GhostText } from './completion/ghostText';
import type { Dashboard } from './dashboard/panel';
import type { LessonProgress } from './lesson/progress';
import type { Pages } from './views/pages';
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
  ghostText: GhostText;
  pages: Pages;
}
