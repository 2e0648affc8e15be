import * as text from '../../ui/text';
import type { GeneratedToken, SamplingOptions, TokenProbability, RunInfo } from '../../protocol';
import type { GenerateRequest, ToDashboard } from '../contract';
import { fill, h, setText } from './dom';
import { saveState, savedState, send } from './host';

/** The lesson's prompts. */
const PROMPTS = ['ROMEO:', 'JULIET:', 'KING:', 'GHOST:', 'To be or not', 'What is'];
const BARS = 10;
/** How long after the last change of prompt or sampling the bars are asked for. */
const BARS_DELAY_MS = 250;
const DEFAULTS = { prompt: 'ROMEO:', temperature: 0.8, topK: 0, topP: 1, length: 200, seed: 1337 };

/** One token on the page. */
interface Written {
  token: GeneratedToken;
  element: HTMLElement;
}

/**
 * Prompt a checkpoint, watch the text come, and see what the model believed at every character. Works on any checkpoint,
 * also while the run goes on.
 */
export class Playground {
  readonly element: HTMLElement;
  private readonly prompt: HTMLTextAreaElement;
  private readonly checkpoint: HTMLSelectElement;
  private readonly numbers: Record<'temperature' | 'topK' | 'topP' | 'length' | 'seed', HTMLInputElement>;
  private readonly generateButton: HTMLButtonElement;
  private readonly output: HTMLElement;
  private readonly status: HTMLElement;
  private readonly bars: HTMLElement;
  private readonly barsTitle: HTMLElement;
  private readonly empty: HTMLElement;
  private readonly body: HTMLElement;
  private run: RunInfo | undefined;
  private written: Written[] = [];
  private selected: number | undefined;
  /** A page that was hidden and made again does not take the answers to the one before for its own. */
  private nextId = Date.now();
  private generation: number | undefined;
  private question = 0;
  private questionTimer = 0;
  private visible = false;

  constructor() {
    const saved = { ...DEFAULTS, ...savedState().playground };
    const changed = (): void => {
      this.save();
      this.askSoon();
    };
    this.prompt = h('textarea', { id: 'prompt', rows: 2, spellcheck: 'false', oninput: changed });
    this.prompt.value = saved.prompt;
    this.prompt.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        this.generate();
      }
    });
    this.checkpoint = h('select', {
      id: 'checkpoint',
      onchange: () => {
        saveState({ checkpoint: this.checkpoint.value });
        this.askSoon();
      },
    });
    const number = (value: number, attributes: Record<string, string | number>): HTMLInputElement => {
      const input = h('input', { ...attributes, oninput: changed });
      input.value = String(value);
      return input;
    };
    this.numbers = {
      temperature: number(saved.temperature, {
        id: 'temperature',
        type: 'range',
        min: 0,
        max: 1.5,
        step: 0.05,
      }),
      topP: number(saved.topP, { id: 'topP', type: 'range', min: 0.05, max: 1, step: 0.05 }),
      topK: number(saved.topK, { id: 'topK', type: 'number', min: 0, max: 1000, step: 1 }),
      length: number(saved.length, { id: 'length', type: 'number', min: 1, max: 5000, step: 10 }),
      seed: number(saved.seed, { id: 'seed', type: 'number', min: 0, step: 1 }),
    };
    this.generateButton = h(
      'button',
      { class: 'primary', onclick: () => (this.generation === undefined ? this.generate() : this.cancel()) },
      'Generate',
    );
    this.status = h('p', { class: 'caption', role: 'status' });
    this.output = h('pre', {
      class: 'output',
      tabindex: 0,
      role: 'textbox',
      'aria-readonly': 'true',
      'aria-multiline': 'true',
      'aria-label':
        'Generated text. Use the left and right arrows to see the probabilities at each character.',
      onkeydown: (event: KeyboardEvent) => this.key(event),
      onclick: (event: MouseEvent) => this.click(event),
    });
    this.barsTitle = h('h2', {}, 'Next token');
    this.bars = h('ol', { class: 'bars' });
    this.empty = h(
      'p',
      { class: 'empty' },
      'The playground needs a checkpoint. A run saves the first one while it trains.',
    );
    this.body = h(
      'div',
      { class: 'playground-grid' },
      h(
        'section',
        { class: 'card controls area-prompt', 'aria-label': 'Prompt' },
        field('checkpoint', 'Checkpoint', this.checkpoint),
        field('prompt', 'Prompt', this.prompt),
        h(
          'div',
          { class: 'chips', role: 'group', 'aria-label': 'Prompts to try' },
          ...PROMPTS.map((prompt) =>
            h(
              'button',
              {
                class: 'chip',
                onclick: () => {
                  this.prompt.value = prompt;
                  changed();
                },
              },
              prompt,
            ),
          ),
        ),
        h('div', { class: 'row' }, this.generateButton, h('span', { class: 'hint' }, 'Ctrl+Enter')),
      ),
      h(
        'section',
        { class: 'card area-text', 'aria-label': 'Generated text' },
        h('h2', {}, 'Text'),
        this.status,
        this.output,
      ),
      h(
        'section',
        { class: 'card area-bars', 'aria-label': 'Next-token probabilities' },
        this.barsTitle,
        this.bars,
        h(
          'p',
          { class: 'hint' },
          'Click a character of the text to see its probability and the alternatives. Amber: below 35 %. Red: below 10 %.',
        ),
      ),
      h(
        'section',
        { class: 'card controls area-sampling', 'aria-label': 'Sampling' },
        slider(
          'temperature',
          'Temperature',
          this.numbers.temperature,
          'Low: likely tokens, repetitive. High: more entropy, more errors.',
        ),
        slider(
          'topP',
          'Top-p',
          this.numbers.topP,
          'Sample only from the likeliest tokens that together have this probability; 1 = off.',
        ),
        h(
          'div',
          { class: 'row fields' },
          field('topK', 'Top-k', this.numbers.topK),
          field('length', 'Length', this.numbers.length),
          field('seed', 'Seed', this.numbers.seed),
        ),
        h(
          'p',
          { class: 'hint' },
          'Top-k: sample only from this many of the likeliest tokens; 0 = off. The same seed gives the same text.',
        ),
      ),
    );
    this.element = h('div', {}, this.empty, this.body);
  }

  /** The run whose checkpoints can be chosen. */
  setRun(run: RunInfo | undefined, checkpoint?: string): void {
    const changed = run?.runId !== this.run?.runId || run?.created !== this.run?.created;
    this.run = run;
    const checkpoints = run?.checkpoints ?? [];
    this.empty.hidden = checkpoints.length > 0;
    this.body.hidden = checkpoints.length === 0;
    const wanted = checkpoint ?? (changed ? (savedState().checkpoint ?? '') : this.checkpoint.value);
    const signature = checkpoints.map(({ path, best }) => `${path} ${best}`).join('|');
    if (this.checkpoint.dataset['signature'] !== signature) {
      this.checkpoint.dataset['signature'] = signature;
      fill(
        this.checkpoint,
        h('option', { value: '' }, 'newest'),
        ...[...checkpoints].reverse().map(({ path, step, valLoss, best }) => {
          const label = `step ${text.count(step)}`;
          return h(
            'option',
            { value: path },
            [label, valLoss === null ? '' : `val ${text.loss(valLoss)}`, best ? 'best' : '']
              .filter(Boolean)
              .join(' · '),
          );
        }),
      );
    }
    this.checkpoint.value = checkpoints.some(({ path }) => path === wanted) ? wanted : '';
    if (changed) {
      this.clear();
      this.askSoon();
    }
  }

  setVisible(visible: boolean): void {
    this.visible = visible;
    if (visible) {
      this.askSoon();
    }
  }

  focus(): void {
    this.prompt.focus();
    this.prompt.select();
  }

  receive(message: ToDashboard): void {
    if (message.type === 'generatePart' && message.id === this.generation) {
      if (message.part.tokens.length > 0) {
        message.part.tokens.forEach((token) => this.write(token));
      } else {
        this.output.append(text.printable(message.part.text));
      }
    } else if (message.type === 'generated' && message.id === this.generation) {
      this.generation = undefined;
      setText(this.generateButton, 'Generate');
      if (message.error !== undefined) {
        setText(this.status, message.error || 'Stopped.');
        this.status.classList.toggle('error', message.error !== '');
      } else if (message.result) {
        const { tokens, seconds, step } = message.result;
        const speed = seconds > 0 ? `${text.count(tokens / seconds)} tokens/s` : '';
        setText(
          this.status,
          [step === null ? '' : `step ${text.count(step)}`, `${text.count(tokens)} tokens`, speed]
            .filter(Boolean)
            .join(' · '),
        );
        if (this.written.length === 0) {
          fill(this.output, h('b', {}, message.result.prompt), text.printable(message.result.text));
        }
      }
    } else if (message.type === 'nextTokens' && message.id === this.question && this.selected === undefined) {
      if (message.result) {
        const { tokens, entropy } = message.result;
        setText(this.barsTitle, `After the prompt · perplexity ${Math.exp(entropy).toFixed(1)}`);
        this.showBars(tokens);
      } else {
        setText(this.barsTitle, 'Next token');
        this.fillBars(h('li', { class: 'caption' }, message.error ?? ''));
      }
    }
  }

  private request(): GenerateRequest | undefined {
    if (!this.run || this.run.checkpoints.length === 0) {
      return undefined;
    }
    const value = (name: keyof Playground['numbers']): number => {
      const typed = Number(this.numbers[name].value);
      return this.numbers[name].value === '' || !Number.isFinite(typed) ? DEFAULTS[name] : typed;
    };
    const sampling: SamplingOptions = {
      maxNewTokens: Math.max(1, Math.round(value('length'))),
      temperature: value('temperature'),
      topK: Math.max(0, Math.round(value('topK'))),
      topP: value('topP'),
      repetitionPenalty: null,
      seed: Math.max(0, Math.round(value('seed'))),
    };
    return {
      runId: this.run.runId,
      checkpoint: this.checkpoint.value || null,
      prompt: this.prompt.value,
      sampling,
    };
  }

  private save(): void {
    const request = this.request();
    for (const name of ['temperature', 'topP'] as const) {
      const output = this.element.querySelector(`output[for="${name}"]`);
      if (output) {
        setText(output, Number(this.numbers[name].value).toFixed(2));
      }
    }
    if (request) {
      const { temperature, topK, topP, maxNewTokens, seed } = request.sampling;
      saveState({
        playground: {
          prompt: this.prompt.value,
          temperature: temperature ?? DEFAULTS.temperature,
          topK: topK ?? DEFAULTS.topK,
          topP: topP ?? DEFAULTS.topP,
          length: maxNewTokens ?? DEFAULTS.length,
          seed: seed ?? DEFAULTS.seed,
        },
      });
    }
  }

  private generate(): void {
    const request = this.request();
    if (!request) {
      return;
    }
    this.clear();
    this.output.append(h('b', {}, request.prompt));
    setText(this.status, 'Loading the model…');
    this.status.classList.remove('error');
    setText(this.generateButton, 'Stop');
    this.generation = this.nextId++;
    send({ type: 'generate', id: this.generation, request });
  }

  private cancel(): void {
    if (this.generation !== undefined) {
      send({ type: 'cancelGenerate', id: this.generation });
    }
  }

  private clear(): void {
    this.cancel();
    this.generation = undefined;
    setText(this.generateButton, 'Generate');
    this.written = [];
    this.selected = undefined;
    fill(this.output);
    setText(this.status, '');
  }

  private write(token: GeneratedToken): void {
    if (this.written.length === 0) {
      setText(this.status, 'Writing…');
    }
    const element = h('span', { 'data-index': this.written.length }, text.printable(token.text));
    // The less the model expected what was drawn, the stronger the mark.
    element.classList.add(
      token.probability < 0.1 ? 'surprising' : token.probability < 0.35 ? 'unsure' : 'sure',
    );
    this.written.push({ token, element });
    this.output.append(element);
    if (this.output.scrollHeight - this.output.scrollTop - this.output.clientHeight < 60) {
      this.output.scrollTop = this.output.scrollHeight;
    }
  }

  private click(event: MouseEvent): void {
    const index = (event.target as HTMLElement).dataset['index'];
    this.select(index === undefined ? undefined : Number(index));
  }

  private key(event: KeyboardEvent): void {
    const moves: Record<string, number> = {
      ArrowLeft: -1,
      ArrowRight: 1,
      Home: -this.written.length,
      End: this.written.length,
    };
    const move = moves[event.key];
    if (event.key === 'Escape') {
      this.select(undefined);
    } else if (move !== undefined && this.written.length > 0) {
      event.preventDefault();
      this.select(Math.max(0, Math.min(this.written.length - 1, (this.selected ?? -1) + move)));
    }
  }

  /** Show what the model believed where this token was drawn; none: after the prompt. */
  private select(index: number | undefined): void {
    if (this.selected !== undefined) {
      this.written[this.selected]?.element.classList.remove('selected');
    }
    this.selected = index;
    const written = index === undefined ? undefined : this.written[index];
    if (!written) {
      this.selected = undefined;
      this.askSoon();
      return;
    }
    written.element.classList.add('selected');
    const { token } = written;
    setText(this.barsTitle, `Sampled ${visibleText(token.text)} at ${percent(token.probability)}`);
    this.showBars(token.alternatives, token.id);
  }

  private askSoon(): void {
    window.clearTimeout(this.questionTimer);
    if (!this.visible) {
      return;
    }
    this.questionTimer = window.setTimeout(() => {
      const request = this.request();
      if (request && this.selected === undefined) {
        this.question = this.nextId++;
        send({ type: 'nextTokens', id: this.question, request, count: BARS });
      }
    }, BARS_DELAY_MS);
  }

  private showBars(tokens: readonly TokenProbability[], drawn?: number): void {
    const most = Math.max(0.0001, ...tokens.map((token) => token.probability));
    this.fillBars(
      ...tokens.slice(0, BARS).map((token) => {
        const bar = h('span', { class: 'bar' });
        bar.style.width = `${(100 * token.probability) / most}%`;
        return h(
          'li',
          { class: token.id === drawn ? 'drawn' : '' },
          h(
            'button',
            {
              'aria-label': `${visibleText(token.text)}, ${percent(token.probability)}. Add to the prompt.`,
              title: 'Add to the prompt',
              onclick: () => {
                this.prompt.value += token.text;
                this.select(undefined);
                this.save();
              },
            },
            h('code', {}, visibleText(token.text)),
            h('span', { class: 'track' }, bar),
            h('span', { class: 'value' }, percent(token.probability)),
          ),
        );
      }),
    );
  }

  /** Whoever adds tokens with the keyboard goes on at the likeliest one, or at the prompt where there is none. */
  private fillBars(...items: HTMLElement[]): void {
    const focused = document.hasFocus() && this.bars.contains(document.activeElement);
    fill(this.bars, ...items);
    if (focused) {
      (this.bars.querySelector('button') ?? this.prompt).focus();
    }
  }
}

function percent(probability: number): string {
  return probability >= 0.1 ? `${(100 * probability).toFixed(0)} %` : `${(100 * probability).toFixed(1)} %`;
}

/** Blanks and line ends are tokens too. */
function visibleText(token: string): string {
  const names: Record<string, string> = {
    ' ': 'space',
    '\n': 'new line',
    '\t': 'tab',
    '': 'part of a character',
  };
  return names[token] ?? text.printable(token.replaceAll('\n', '↵'));
}

function field(id: string, label: string, control: HTMLElement): HTMLElement {
  return h('div', { class: 'field' }, h('label', { for: id }, label), control);
}

function slider(id: string, label: string, control: HTMLInputElement, hint: string): HTMLElement {
  control.setAttribute('aria-describedby', `${id}-hint`);
  return h(
    'div',
    { class: 'field' },
    h(
      'div',
      { class: 'row spread' },
      h('label', { for: id }, label),
      h('output', { for: id }, Number(control.value).toFixed(2)),
    ),
    control,
    h('p', { id: `${id}-hint`, class: 'hint' }, hint),
  );
}
