import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { movedToBin, whatGoes } from '../../../extension/src/commands/runs';
import { framed } from '../../../extension/src/views/pages';
import { suites } from './suites';

suites.push(() =>
  describe('Pages that anybody may have written', () => {
    it('come after the policy, whatever they begin with', () => {
      for (const forged of [
        '<!--<head>--><script>alert(1)</script>',
        '<!--<head>--><!--</head><body>--><html><head><script src="https://example.invalid/x.js"></script></head>',
        '</head><head><meta http-equiv="Content-Security-Policy" content="default-src *">',
        '',
      ]) {
        const page = framed(forged, '<a href="command:x">X</a>');
        const policy = page.indexOf("default-src 'none'; style-src 'unsafe-inline'");
        assert.ok(policy > 0 && page.indexOf('</head><body><nav') > policy);
        assert.ok(page.endsWith(`</nav>${forged}`));
        assert.ok(!page.slice(0, policy).includes('<!--'));
      }
    });
  }),
);

suites.push(() =>
  describe('Deleting a run', () => {
    it('names every folder that goes and what stays', () => {
      const found = { runDirectory: '/w/runs/a', removed: ['/w/weights/a', '/w/runs/a'], kept: ['/home/v'] };
      const lines = whatGoes(found, true).split('\n');
      assert.ok([...found.removed, ...found.kept].every((one) => lines.includes(one)));
      assert.ok(!whatGoes({ ...found, kept: [] }, false).includes('stay'));
    });

    it('says where there is no bin', async () => {
      const gone: string[] = [];
      const take = (file: vscode.Uri): Promise<void> => {
        gone.push(file.path);
        return Promise.resolve();
      };
      assert.ok(await movedToBin(['/w/a', '/w/b'], take));
      assert.deepEqual(gone, ['/w/a', '/w/b']);
      assert.ok(!(await movedToBin(['/w/a'], () => Promise.reject(new Error('no bin')))));
    });
  }),
);
