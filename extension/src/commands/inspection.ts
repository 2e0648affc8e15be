import * as path from 'node:path';
import * as vscode from 'vscode';
import type { App } from '../app';
import { describeInterpreter } from '../python/interpreters';
import * as text from '../ui/text';
import { dataFact } from '../lesson/evidence';
import { configFor } from './arguments';
import { ensureTraining } from './interpreter';
import { withServerProgress } from '../server/longRequest';

/** The untrained model of a config: parameters by part, shapes, first loss, noise. */
export async function inspect(app: App, argument: unknown): Promise<void> {
  const config = await configFor(app, argument, vscode.l10n.t('Inspect Model'));
  const python = config && (await ensureTraining(app));
  if (!python) {
    return;
  }
  const name = path.basename(config.fsPath);
  const answer = await withServerProgress(app, vscode.l10n.t('Inspecting {0}', name), 'trickster/inspect', {
    configUri: config.toString(),
    python: python.path,
  });
  if (!answer) {
    return;
  }
  if (answer.page) {
    app.pages.showModel(name, answer.page, config);
  } else {
    await app.pages.showMarkdown(vscode.l10n.t('{0} inspected', name), answer.report);
  }
  const parameters = numberAt(answer.data, 'parameters', 'total');
  const loss = numberAt(answer.data, 'random_loss');
  app.lesson.done(
    'model',
    [
      parameters === undefined ? name : vscode.l10n.t('{0} parameters', text.count(parameters)),
      loss === undefined ? '' : vscode.l10n.t('first loss {0}', text.loss(loss)),
    ]
      .filter(Boolean)
      .join(' · '),
  );
}

/** Fetch, split and encode the corpus of a config. */
export async function prepare(app: App, argument: unknown): Promise<void> {
  const config = await configFor(app, argument, vscode.l10n.t('Prepare Dataset'));
  const python = config && (await ensureTraining(app));
  if (!python) {
    return;
  }
  const answer = await withServerProgress(app, vscode.l10n.t('Preparing the dataset'), 'trickster/prepare', {
    configUri: config.toString(),
    python: python.path,
  });
  if (!answer) {
    return;
  }
  await app.pages.showMarkdown(vscode.l10n.t('{0} dataset', path.basename(config.fsPath)), answer.report);
  const train = numberAt(answer.data, 'train_characters');
  const held = numberAt(answer.data, 'val_characters');
  app.lesson.done(
    'data',
    train === undefined || held === undefined ? vscode.l10n.t('ready') : dataFact(train, held),
  );
}

/** What this machine can train on. */
export async function checkHardware(app: App): Promise<void> {
  const python = await ensureTraining(app);
  if (!python) {
    return;
  }
  const answer = await withServerProgress(app, vscode.l10n.t('Checking the hardware'), 'trickster/doctor', {
    python: python.path,
  });
  if (answer) {
    await app.pages.showMarkdown(vscode.l10n.t('This machine'), answer.report);
    app.lesson.done('setup', describeInterpreter(python));
  }
}

/** Number at a path in a JSON value. */
function numberAt(value: unknown, ...keys: string[]): number | undefined {
  let current = value;
  for (const key of keys) {
    current =
      typeof current === 'object' && current !== null ? (current as Record<string, unknown>)[key] : undefined;
  }
  return typeof current === 'number' ? current : undefined;
}

/** Start the language server again. */
export async function restartServer(app: App): Promise<void> {
  app.interpreters.forget();
  await vscode.window.withProgress(
    { location: vscode.ProgressLocation.Window, title: vscode.l10n.t('Restarting the Trickster server') },
    () => app.server.restart(),
  );
}
