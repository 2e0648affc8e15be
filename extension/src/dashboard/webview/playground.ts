import * as text from '../../ui/text';
import type { GeneratedToken, RunInfo } from '../../protocol';
import type { GenerateRequest, ToDashboard } from '../contract';
import { fill, h, setText } from './dom';
import { savedState, send } from './host';
import { BARS, NextTokens, percent, visibleText } from './nextTokens';
import { PlaygroundSettings } from './playgroundSettings';

/** How long after the last change of prompt or sampling the bars are asked for. */
const BARS_DELAY_MS = 250;

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
  private readonly settings: PlaygroundSettings;
  private readonly nextTokens: NextTokens;
  private readonly generateButton: HTMLButtonElement;
  private readonly output: HTMLElement;
  private readonly status: HTMLElement;
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
    this.settings = new PlaygroundSettings(
      this.generateButton,
      () => this.generate(),
      () => this.askSoon(),
    );
    this.nextTokens = new NextTokens(
      (words) => {
        this.settings.addToPrompt(words);
        this.select(undefined);
      },
      () => this.settings.focus(false),
    );
    this.empty = h(
      'p',
      { class: 'empty' },
      'The playground needs a checkpoint. A run saves the first one while it trains.',
    );
    this.body = h(
      'div',
      { class: 'playground-grid' },
      this.settings.promptCard,
      h(
        'section',
        { class: 'card area-text', 'aria-label': 'Generated text' },
        h('h2', {}, 'Text'),
        this.status,
        this.output,
      ),
      this.nextTokens.element,
      this.settings.samplingCard,
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
    this.settings.setCheckpoints(
      checkpoints,
      checkpoint ?? (changed ? (savedState().checkpoint ?? '') : undefined),
    );
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
    this.settings.focus();
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
        this.nextTokens.show(`After the prompt · perplexity ${Math.exp(entropy).toFixed(1)}`, tokens);
      } else {
        this.nextTokens.say(message.error ?? '');
      }
    }
  }

  private request(): GenerateRequest | undefined {
    return this.run && this.run.checkpoints.length > 0 ? this.settings.request(this.run.runId) : undefined;
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
    const title = `Sampled ${visibleText(token.text)} at ${percent(token.probability)}`;
    this.nextTokens.show(title, token.alternatives, token.id);
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
}
