import * as path from 'node:path';
import * as vscode from 'vscode';
import type { App } from '../app';
import * as text from '../ui/text';
import type { RunInfo } from '../protocol';
import { describe } from '../runs/statusBar';
import { newConfig } from './newConfig';

/** What menus, code lenses, tree nodes and links hand to a command: all of it may be missing. */
interface Target {
  configUri?: string;
  runId?: string;
  checkpoint?: string;
  /** Where the folder has no config yet: the preset to begin with, so that nothing is asked. */
  preset?: string;
}

export function targetOf(argument: unknown): Target {
  if (argument instanceof vscode.Uri) {
    return { configUri: argument.toString() };
  }
  if (typeof argument === 'object' && argument !== null) {
    const target: Target = {};
    for (const field of ['configUri', 'runId', 'checkpoint', 'preset'] as const) {
      const value = (argument as Record<string, unknown>)[field];
      if (typeof value === 'string') {
        target[field] = value;
      }
    }
    return target;
  }
  return {};
}

/**
 * The config a command is about: the one it was called on, the one in front, the one in the folder, one of several, or a
 * new one from a preset. What the editor holds is saved first, because that is what the person sees.
 */
export async function configFor(app: App, argument: unknown, title: string): Promise<vscode.Uri | undefined> {
  const target = targetOf(argument);
  const uri = target.configUri
    ? vscode.Uri.parse(target.configUri)
    : (app.configs.inFront() ?? (await fromFolder(app, title, target.preset)));
  if (!uri) {
    return undefined;
  }
  const document = vscode.workspace.textDocuments.find((open) => open.uri.toString() === uri.toString());
  if (document?.isUntitled) {
    const saved = await vscode.workspace.save(uri);
    return saved;
  }
  if (document?.isDirty && !(await document.save())) {
    return undefined;
  }
  return uri;
}

async function fromFolder(app: App, title: string, preset?: string): Promise<vscode.Uri | undefined> {
  const configs = await app.configs.all();
  return configs.length > 0
    ? app.configs.choose(configs, title, (uri) => describeConfig(app, uri))
    : newConfig(app, undefined, preset);
}

/** "shakespeare · 886k parameters": what tells one config from another. */
export async function describeConfig(app: App, uri: vscode.Uri): Promise<string> {
  const figures = await app.server.request('trickster/describeConfig', { configUri: uri.toString() });
  return [
    figures.corpus === null ? '' : path.basename(figures.corpus),
    figures.parameters === null ? '' : vscode.l10n.t('{0} parameters', text.short(figures.parameters)),
    figures.valid ? '' : vscode.l10n.t('has errors'),
  ]
    .filter(Boolean)
    .join(' · ');
}

/**
 * The run a command is about: the one it was called on, the only one that fits, or one the person picks. A config's lens
 * stands for its newest run.
 */
export async function runFor(
  app: App,
  argument: unknown,
  title: string,
  fits: (run: RunInfo) => boolean,
  nothing: string,
): Promise<RunInfo | undefined> {
  if (!app.runs.loaded) {
    await app.runs.refresh();
  }
  const target = targetOf(argument);
  if (target.runId !== undefined) {
    if (!app.runs.get(target.runId)) {
      await app.runs.refresh();
    }
    const named = app.runs.get(target.runId);
    if (!named) {
      void vscode.window.showInformationMessage(
        vscode.l10n.t('That run no longer exists: it was deleted or moved.'),
      );
    }
    return named;
  }
  const { configUri } = target;
  const ofConfig =
    configUri === undefined
      ? undefined
      : (await app.server.request('trickster/describeConfig', { configUri })).runIds;
  const candidates = app.runs.all().filter((run) => fits(run) && (ofConfig?.includes(run.runId) ?? true));
  if (candidates.length === 0) {
    void vscode.window.showInformationMessage(nothing);
    return undefined;
  }
  if (candidates.length === 1 || ofConfig) {
    return candidates[0];
  }
  const picked = await vscode.window.showQuickPick(
    candidates.map((run) => ({ label: run.name, description: describe(run), run })),
    { title, placeHolder: vscode.l10n.t('Choose a run') },
  );
  return picked?.run;
}
