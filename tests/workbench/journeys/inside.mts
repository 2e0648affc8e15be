import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import type { FrameLocator, Locator } from 'playwright-core';
import { sampleFolder } from '../folders.mts';
import { journey } from '../journey.mts';
import { PYTHON } from '../server.mts';
import { until } from '../until.mts';

const folder = sampleFolder('inside', { steps: 160, evaluateEvery: 40, saveEvery: 40 });

/** Train the small model here and now: everything that the tab shows is of this run. */
function train(): void {
  execFileSync(PYTHON, ['-m', 'trickster_engine', 'train', 'small.yaml'], {
    cwd: folder,
    env: { ...process.env, OMP_NUM_THREADS: '1' },
    stdio: 'ignore',
  });
}

/** The numbers of a table of facts, by the name of their row. */
async function facts(card: Locator, title: string): Promise<Map<string, string[]>> {
  const details = card.locator('details.as-table').filter({ hasText: `${title} as a table` });
  await details.evaluate((element: HTMLDetailsElement) => {
    element.open = true;
  });
  await details.locator('tbody tr').first().waitFor();
  const rows = await details
    .locator('tbody tr')
    .evaluateAll((all) => all.map((row) => [...row.children].map((cell) => cell.textContent)));
  await details.evaluate((element: HTMLDetailsElement) => {
    element.open = false;
  });
  return new Map(rows.map(([name = '', ...cells]) => [name, cells]));
}

/** The share of a canvas that something is drawn on. */
function drawn(canvas: Locator): Promise<number> {
  return canvas.evaluate((element: HTMLCanvasElement) => {
    const ctx = element.getContext('2d');
    if (!ctx || element.width === 0) {
      return 0;
    }
    const { data } = ctx.getImageData(0, 0, element.width, element.height);
    let inked = 0;
    for (let i = 3; i < data.length; i += 4) {
      inked += (data[i] ?? 0) > 8 ? 1 : 0;
    }
    return (4 * inked) / data.length;
  });
}

journey(
  'Looking inside a model',
  {
    folder: () => folder,
    settings: {
      'workbench.colorTheme': 'Dark Modern',
      'workbench.secondarySideBar.defaultVisibility': 'hidden',
    },
  },
  (at) => {
    const page = (): FrameLocator => at.workbench.dashboard();
    const card = (name: string): Locator =>
      page().locator(`#panel-inside section[aria-label="${name}"]`).first();
    const verdict = (): Promise<string> => card('What if').locator('.verdict').innerText();

    before(train);

    it('reads the validation text when the tab is opened, and not before', async () => {
      const { workbench } = at;
      await workbench.openSidebar();
      await workbench.runRow('small-001').click();
      await page().locator('.badge').filter({ hasText: 'Finished' }).waitFor();
      assert.equal(await page().locator('#inside-text').inputValue(), '');
      await workbench.command('View: Toggle Primary Side Bar Visibility');
      await page().locator('#tab-inside').click();
      await until('a text has come', async () => (await page().locator('#inside-text').inputValue()) !== '');
      // The corpus's last tenth is its validation text, and a token is a byte.
      const corpus = fs.readFileSync(path.join(folder, 'corpus.txt'), 'utf8');
      const read = await page().locator('#inside-text').inputValue();
      assert.ok(corpus.slice(-0.11 * corpus.length).includes(read.slice(0, 40)), read);
      const losses = await facts(card('Tokens and their loss'), 'Tokens and losses');
      const values = [...losses.values()].flatMap(([, loss = '']) => (loss === '–' ? [] : [Number(loss)]));
      assert.equal(values.length, losses.size - 1, 'nothing predicts the first');
      const mean = values.reduce((a, b) => a + b, 0) / values.length;
      const said = /Mean loss ([\d.]+)/.exec(
        await card('Tokens and their loss').locator('.caption').innerText(),
      );
      assert.ok(Math.abs(mean - Number(said?.[1])) < 0.01, `${mean} and ${said?.[1]}`);
      assert.ok(mean < Math.log(256), 'it has learned something');
    });

    it('shows every head, and where the chosen one looks', async () => {
      const attention = card('Attention');
      assert.equal(await attention.locator('.attention-head').count(), 2 * 4);
      await attention.locator('.attention-head').nth(5).click();
      await attention.locator('h3').filter({ hasText: 'Layer 1, head 1' }).waitFor();
      await until(
        'the head is drawn large',
        async () => (await drawn(attention.locator('.matrix canvas'))) > 0.02,
      );
      await until(
        'and small',
        async () => (await drawn(attention.locator('.attention-head canvas').nth(5))) > 0.02,
      );
      const weights = await facts(attention, 'Where the chosen head looks');
      const sum = [...weights.values()].reduce((total, [, weight]) => total + Number(weight), 0);
      assert.ok(Math.abs(sum - 1) < 0.2, `attention from one token adds up to ${sum}`); // bytes, two decimals
      // Pointing at a token shows where it looks.
      const strip = attention.locator('.token-strip');
      await strip.locator('span').nth(3).hover();
      await attention.locator('.detail').filter({ hasText: 'Token 3 ' }).waitFor();
      assert.equal(await strip.locator('span').nth(4).getAttribute('title'), 'not seen yet');
      await at.workbench.shot('inside-attention-dark');
    });

    it('switches a head off, and the loss changes', async () => {
      await card('Attention').locator('.switch-part').click();
      await until('a verdict', async () => /→/.test(await verdict().catch(() => '')));
      const [, before, after] = /Loss ([\d.]+) → ([\d.]+)/.exec(await verdict()) ?? [];
      assert.notEqual(before, after);
      // It is said beside the button too, where whoever has clicked is looking.
      assert.equal(await card('Attention').locator('.verdict').innerText(), await verdict());
      assert.ok((await card('What if').locator('.outcome pre').first().innerText()).length > 10);
      // A whole layer of two is more than a head of eight.
      await card('What if').getByRole('button', { name: 'Switch off layer 0', exact: true }).click();
      await until('a worse loss', async () => {
        const now = Number(/→ ([\d.]+)/.exec(await verdict())?.[1]);
        return now > Number(before) + 0.1;
      });
      await card('What if').scrollIntoViewIfNeeded();
      await at.workbench.shot('inside-what-if-dark');
      await card('What if').getByRole('button', { name: 'Undo All' }).click();
      await card('What if').locator('.outcome').waitFor({ state: 'hidden' });
    });

    it('says what each layer would say next, and the last of them what the model says', async () => {
      const lens = card('Logit lens');
      assert.equal(await lens.locator('.lens-table tbody tr').count(), 3);
      const tokens = card('Tokens and their loss');
      await tokens.locator('.token-strip span').nth(9).click();
      const depths = await facts(lens, 'Predictions after each layer');
      const [guesses = ''] = depths.get('layer 1: output') ?? [];
      // The same question asked of the other picture: what was expected where token 10 stands.
      const expected = (await facts(tokens, 'Tokens and losses')).get('10')?.[3];
      assert.equal(guesses, expected);
      assert.equal((await facts(card('Residual stream'), 'Residual stream')).size, 3);
    });

    it('shows the contexts that excite a neuron', async () => {
      const neurons = card('Neurons');
      await neurons.locator('.neurons .chip').first().click();
      await neurons.locator('.context-list li').first().waitFor();
      const corpus = fs.readFileSync(path.join(folder, 'corpus.txt'), 'utf8').replaceAll('\n', '↵');
      const context = await neurons.locator('.context-list code').first().innerText();
      assert.ok(corpus.includes(context.slice(0, 20)), context);
      await neurons.scrollIntoViewIfNeeded();
      await at.workbench.shot('inside-neurons-dark');
    });

    it('maps the embeddings once they are in sight', async () => {
      const map = card('Embeddings');
      await map.scrollIntoViewIfNeeded();
      await map.locator('.caption').filter({ hasText: '% of the variance' }).waitFor();
      await until('points are drawn', async () => (await drawn(map.locator('canvas'))) > 0.002);
      assert.equal((await facts(map, 'Embeddings')).get('A')?.[1], 'capital');
      await at.workbench.shot('inside-embeddings-dark');
    });

    it('draws angles and the temperature', async () => {
      const rope = card('Positions (RoPE)');
      await rope.scrollIntoViewIfNeeded();
      await until('hands are drawn', async () => (await drawn(rope.locator('canvas'))) > 0.01);
      // The first pair is turned by one radian a token.
      const [radians, , degrees] = (await facts(rope, 'RoPE’s angles')).get('0') ?? [];
      assert.equal(radians, '1.00');
      assert.equal(degrees, (((9 * 180) / Math.PI) % 360).toFixed(1));
      const temperature = card('Temperature');
      const perplexity = async (): Promise<number> =>
        Number(/Perplexity ([\d.]+)/.exec(await temperature.locator('.caption').innerText())?.[1]);
      const before = await perplexity();
      await temperature.locator('input').fill('0');
      assert.equal(await perplexity(), 1);
      await temperature.locator('input').fill('2');
      assert.ok((await perplexity()) > before);
      await at.workbench.shot('inside-temperature-dark');
    });

    it('shows how the head was born', async () => {
      const history = card('How the head was born');
      await history.getByRole('button').click();
      await history.locator('canvas').first().waitFor();
      const moments = await facts(history, 'The head over the run');
      const uniform = Math.log(256);
      assert.ok(Math.abs(Number(moments.get('0')?.[6]) - uniform) < 0.5, 'nothing is known before training');
      assert.ok(Number(moments.get('160')?.[6]) < uniform - 1);
      await history.scrollIntoViewIfNeeded();
      await at.workbench.shot('inside-history-dark');
    });

    it('is used with the keyboard alone', async () => {
      const { keyboard } = at.workbench.page;
      await page().locator('#tab-proof').focus();
      await keyboard.press('ArrowRight');
      const slider = page().locator('#inside-checkpoint');
      await slider.focus();
      await keyboard.press('Home');
      await page().locator('.model-title').filter({ hasText: 'Before training' }).waitFor();
      await keyboard.press('End');
      await page().locator('.model-title').filter({ hasText: 'Step 160' }).waitFor();
      const strip = card('Tokens and their loss').locator('.token-strip');
      await strip.focus();
      await keyboard.press('Home');
      await keyboard.press('ArrowRight');
      await card('Tokens and their loss').locator('.detail').filter({ hasText: 'Token 1,' }).waitFor();
      const active = await strip.getAttribute('aria-activedescendant');
      assert.match(
        (await strip.locator(`[id="${active ?? ''}"]`).getAttribute('aria-label')) ?? '',
        /^1, .*loss [\d.]+/,
      );
      const chosen = card('Attention').locator('.attention-head[aria-pressed="true"]');
      await chosen.focus();
      await keyboard.press('ArrowUp');
      await keyboard.press('ArrowLeft');
      assert.match((await chosen.getAttribute('aria-label')) ?? '', /^Layer 0, head 0: /);
      assert.ok(await chosen.evaluate((element) => element === document.activeElement));
      // From the head to the large picture's button, past the other heads.
      await keyboard.press('Tab');
      await keyboard.press('Enter');
      await until('a verdict', async () => /→/.test(await verdict().catch(() => '')));
      await page().locator('.attention-head.off').first().waitFor();
      await keyboard.press('Enter');
      await card('What if').locator('.outcome').waitFor({ state: 'hidden' });
    });

    it('lays a model of another step beside it', async () => {
      await page().locator('#inside-compare').selectOption({ label: 'Before training' });
      await until('two columns', async () => (await page().locator('.model-view').count()) === 2);
      const means = await page().locator('.tokens .caption').allInnerTexts();
      const [trained = NaN, untrained = NaN] = means.map((words) =>
        Number(/Mean loss ([\d.]+)/.exec(words)?.[1]),
      );
      assert.ok(untrained > trained + 1, `${trained} and ${untrained}`);
      await page().locator('.model-title').first().scrollIntoViewIfNeeded();
      await at.workbench.shot('inside-two-dark');
      await page().locator('#inside-compare').selectOption('');
      await until('one column', async () => (await page().locator('.model-view').count()) === 1);
    });

    it('reads a text that is typed, and shows markup as the text that it is', async () => {
      const box = page().locator('#inside-text');
      const markup = '<img src=x onerror="document.title=1"> <b>The</b>';
      await box.fill(markup);
      const tokens = card('Tokens and their loss').locator('.token-strip');
      await until('its tokens', async () => (await tokens.innerText()) === markup);
      assert.equal(await page().locator('#panel-inside img, #panel-inside .token-strip b').count(), 0);
      await box.fill('The function of the function of the ');
      await until('its tokens', async () => (await tokens.innerText()).startsWith('The function'));
    });

    it('patches an activation of another text', async () => {
      const form = card('What if').locator('.patch');
      await card('Tokens and their loss').locator('.token-strip span').last().click();
      await form.locator('summary').click();
      await form.locator('#inside-patch-text').fill('zzzzzzzzzz');
      await form.locator('#inside-patch-from').fill('9');
      await form.locator('select').selectOption({ label: 'residual stream after layer 1' });
      await form.getByRole('button', { name: 'Patch' }).click();
      await card('What if').locator('.active .chip').filter({ hasText: 'patched: layer 1' }).waitFor();
      // The last token's stream decides only what comes after the text: no loss changes, and the text does.
      await until('a verdict', async () => /hardly matters/.test(await verdict().catch(() => '')));
      const [own, patched] = await card('What if').locator('.outcome pre').allInnerTexts();
      assert.notEqual(own, patched);
      await form.locator('#inside-patch-from').fill('99');
      await form.getByRole('button', { name: 'Patch' }).click();
      // What cannot be done is said in words, where it was asked for.
      await card('What if')
        .locator('.caption.error')
        .filter({ hasText: /\w+ \w+/ })
        .waitFor();
      await card('What if').getByRole('button', { name: 'Undo All' }).click();
    });

    it('plays the checkpoints from the model before training on', async () => {
      await page().getByRole('button', { name: 'Play', exact: true }).last().click();
      const title = page().locator('.model-title').first();
      await title.filter({ hasText: 'Before training' }).waitFor();
      await title.filter({ hasText: 'Step 160' }).waitFor();
      await page().locator('.inside-settings button').filter({ hasText: 'Play' }).waitFor();
    });

    for (const [theme, kind] of [
      ['Dark Modern', 'vscode-dark'],
      ['Light Modern', 'vscode-light'],
      ['Dark High Contrast', 'vscode-high-contrast'],
      ['Light High Contrast', 'vscode-high-contrast-light'],
    ] as const) {
      it(`follows the theme: ${theme}`, async () => {
        const { workbench } = at;
        await workbench.theme(theme);
        await page().locator(`body.${kind}`).waitFor();
        const shot = (name: string): Promise<void> =>
          workbench.shot(`inside-${name}-${theme.toLowerCase().replaceAll(' ', '-')}`);
        const head = card('Attention').locator('.attention-head canvas').first();
        await head.scrollIntoViewIfNeeded();
        await until('heads are drawn', async () => (await drawn(head)) > 0.02);
        await card('Tokens and their loss').scrollIntoViewIfNeeded();
        await shot('tokens');
        await card('Logit lens').scrollIntoViewIfNeeded();
        await shot('lens');
        await card('Embeddings').scrollIntoViewIfNeeded();
        await until(
          'points are drawn',
          async () => (await drawn(card('Embeddings').locator('canvas'))) > 0.002,
        );
        await shot('embeddings');
        await card('How the head was born').scrollIntoViewIfNeeded();
        await shot('end');
      });
    }
  },
);
