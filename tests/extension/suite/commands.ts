import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as path from 'node:path';
import * as vscode from 'vscode';
import { COMMANDS } from '../../../extension/src/commands';
import { STEPS } from '../../../extension/src/lesson/steps';
import { suites } from './suites';

interface Manifest {
  contributes: {
    commands: { command: string; title: string; category: string }[];
    walkthroughs: { steps: { id: string; completionEvents: string[]; description: string }[] }[];
    menus: Record<string, { command: string; when?: string; group?: string }[]>;
    configuration: { properties: Record<string, unknown> };
    views: Record<string, { name: string }[]>;
  };
}

function manifest(): Manifest {
  const extension = vscode.extensions.getExtension('trickster.trickster');
  assert.ok(extension, 'the extension is installed');
  return extension.packageJSON as Manifest;
}

suites.push(() =>
  describe('The manifest', () => {
    it('names exactly the commands that exist', async () => {
      await vscode.extensions.getExtension('trickster.trickster')?.activate();
      const declared = manifest()
        .contributes.commands.map(({ command }) => command)
        .sort();
      assert.deepEqual(
        declared,
        Object.keys(COMMANDS)
          .map((name) => `trickster.${name}`)
          .sort(),
      );
      const registered = new Set(await vscode.commands.getCommands(true));
      declared.forEach((command) => assert.ok(registered.has(command), command));
    });

    it('has titles that can be read in one glance, under one category', () => {
      for (const { title, category } of manifest().contributes.commands) {
        assert.equal(category, 'Trickster');
        assert.ok(title.length <= 28, title);
      }
    });

    it('explains every command, setting and view in its README', () => {
      const folder = vscode.extensions.getExtension('trickster.trickster')?.extensionPath ?? '';
      const readme = fs.readFileSync(path.join(folder, 'readme.md'), 'utf8');
      const { commands, configuration, views } = manifest().contributes;
      for (const words of [
        ...commands.map(({ title }) => `| ${title} |`),
        ...Object.keys(configuration.properties).map((setting) => `| \`${setting}\` |`),
        ...Object.values(views).flatMap((list) => list.map(({ name }) => name)),
      ]) {
        assert.ok(readme.includes(words), words);
      }
    });

    it('has menus for existing commands only', () => {
      const declared = new Set(manifest().contributes.commands.map(({ command }) => command));
      for (const items of Object.values(manifest().contributes.menus)) {
        items.forEach(({ command }) => assert.ok(declared.has(command), command));
      }
    });

    it('has the action of every step of the lesson as the one button of its row, and in its menu', () => {
      const shown = (context: string, group: RegExp): string[] =>
        (manifest().contributes.menus['view/item/context'] ?? [])
          .filter((item) => group.test(item.group ?? ''))
          .filter(({ when = '' }) => {
            const [, equal, matching] = /viewItem (?:== ([\w.]+)|=~ \/(.+)\/)/.exec(when) ?? [];
            const view = when.includes('view == trickster.lesson');
            return (
              view && (equal === context || (matching !== undefined && new RegExp(matching).test(context)))
            );
          })
          .map(({ command }) => command);
      for (const { id, command } of STEPS) {
        assert.deepEqual(shown(`step.${id}`, /^inline/), [command], id);
        assert.deepEqual(shown(`step.${id}`, /^\d_/), ['trickster.openLesson', command], id);
      }
    });

    it('has a walkthrough with the steps of the checklist, ticked by their evidence', () => {
      const steps = manifest().contributes.walkthroughs[0]?.steps ?? [];
      assert.deepEqual(
        steps.map(({ id }) => id),
        STEPS.map(({ id }) => id),
      );
      const declared = new Set(manifest().contributes.commands.map(({ command }) => command));
      for (const { id, completionEvents, description } of steps) {
        assert.deepEqual(
          completionEvents,
          [1, 2].map((value) => `onContext:trickster.step.${id} == ${value}`),
        );
        const links = [...description.matchAll(/\(command:([\w.]+)[)?]/g)].map(([, command = '']) => command);
        assert.ok(links.length > 0, id);
        links.forEach((command) => assert.ok(declared.has(command), command));
      }
    });
  }),
);
