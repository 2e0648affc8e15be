"""Text from a model, one token at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import takewhile

import torch
from torch import Tensor

from trickster_engine.config.plan import SamplingConfig
from trickster_engine.data.tokenizer import Tokenizer, readable_alphabet
from trickster_engine.errors import TricksterError
from trickster_engine.inference.decoding import token_reader
from trickster_engine.model.huggingface import GREEDY_BELOW
from trickster_engine.model.llama import KeyValueCache, Llama


@dataclass(frozen=True)
class SamplingOptions:
    """How the next token is chosen.

    `temperature` divides the logits, 0 takes the likeliest token. `top_k` keeps that many tokens (0 = all), `top_p` the
    likeliest that together reach this probability (1 = all; Holtzman et al. 2020, arXiv:1904.09751).
    `repetition_penalty` divides the positive logits of tokens already present and multiplies the negative ones (1 =
    off; Keskar et al. 2019, arXiv:1909.05858).
    """

    max_new_tokens: int = 200
    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int = 1337

    @classmethod
    def from_config(cls, sampling: SamplingConfig) -> SamplingOptions:
        """The options of a config's `sampling_config`."""
        return cls(**{field.name: getattr(sampling, field.name) for field in fields(cls)})


def sample(
    model: Llama,
    tokenizer: Tokenizer,
    prompt: str,
    options: SamplingOptions,
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> str:
    """The text that follows the prompt, up to the end of the document if there is one.

    Raises TricksterError for characters the model has never seen.
    """
    ids = encode_prompt(tokenizer, prompt)
    steps = generate(model, [ids], options, should_stop, vocab_size=tokenizer.vocab_size, end=tokenizer.end_id)
    return tokenizer.decode_after(ids, until_end((int(step[0]) for step in steps), tokenizer.end_id))


def sample_batch(
    model: Llama, tokenizer: Tokenizer, prompts: Sequence[str], options: SamplingOptions, *, through: bool = False
) -> list[str]:
    """What follows each of several prompts; prompts of one length are generated side by side.

    `through` has the model go on behind the end of a document with the next one, a line end between them: as much text
    as is asked for, to measure.
    """
    encoded = [encode_prompt(tokenizer, prompt) for prompt in prompts]
    if through and model.model.document_end is not None:
        return _one_after_another(model, tokenizer, encoded, options)
    end = None if through else tokenizer.end_id
    texts = [""] * len(prompts)
    for length in sorted({len(ids) for ids in encoded}):
        rows = [row for row, ids in enumerate(encoded) if len(ids) == length]
        together = [encoded[row] for row in rows]
        steps = list(generate(model, together, options, vocab_size=tokenizer.vocab_size, end=end))
        for column, row in enumerate(rows):
            written = until_end((int(ids[column]) for ids in steps), end)
            texts[row] = tokenizer.decode_documents(written, encoded[row])
    return texts


def _one_after_another(
    model: Llama, tokenizer: Tokenizer, prompts: Sequence[Sequence[int]], options: SamplingOptions
) -> list[str]:
    """The same `through` the ends of documents by a model that sees none before its own: each is begun by itself."""
    end, wanted = model.model.document_end, options.max_new_tokens
    assert end is not None
    written: list[list[int]] = [[] for _ in prompts]
    begun = list(prompts)
    seed = options.seed
    while short := [row for row, tokens in enumerate(written) if len(tokens) < wanted]:
        length = min(len(begun[row]) for row in short)
        rows = [row for row in short if len(begun[row]) == length]
        most = max(wanted - len(written[row]) for row in rows)
        asked = replace(options, max_new_tokens=most, seed=seed)
        together = [begun[row] for row in rows]
        steps = list(generate(model, together, asked, vocab_size=tokenizer.vocab_size, end=end))
        for column, row in enumerate(rows):
            document = list(until_end((int(ids[column]) for ids in steps), end))
            written[row] += [*document, *([end] if len(document) < len(steps) else [])]
            begun[row] = [end]
        seed += 1
    return [
        tokenizer.decode_documents(tokens[:wanted], prompt) for tokens, prompt in zip(written, prompts, strict=True)
    ]


def stream(
    model: Llama,
    tokenizer: Tokenizer,
    prompt: str,
    options: SamplingOptions,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[str]:
    """The text that follows the prompt, in pieces as it comes; together they are what `sample` returns."""
    ids = encode_prompt(tokenizer, prompt)
    decoder = tokenizer.stream_decoder(ids)
    steps = generate(model, [ids], options, should_stop, vocab_size=tokenizer.vocab_size, end=tokenizer.end_id)
    for token in until_end((int(step[0]) for step in steps), tokenizer.end_id):
        if piece := decoder.feed(token):
            yield piece
    if rest := decoder.finish():
        yield rest


def until_end(tokens: Iterable[int], end: int | None) -> Iterator[int]:
    """The tokens before the one that ends a document."""
    return takewhile(lambda token: token != end, tokens)


def encode_prompt(tokenizer: Tokenizer, prompt: str) -> list[int]:
    """Token ids of a prompt, behind the one that begins a document if there is one.

    Raises TricksterError for unknown characters, and for an empty prompt where nothing begins a document.
    """
    begin = [] if tokenizer.begin_id is None else [tokenizer.begin_id]
    if not prompt and not begin:
        raise TricksterError(
            "prompt-empty", "The prompt is empty.", "Give the model at least one character to continue."
        )
    if unknown := tokenizer.unknown_characters(prompt):
        raise TricksterError(
            "prompt-unknown-characters",
            f"The prompt {prompt!r} has characters that do not occur in the corpus: "
            f"{', '.join(map(repr, unknown[:10]))}.",
            "Change it: sampling_config.prompt in the config, --prompt in the terminal. The tokenizer knows: "
            f"{readable_alphabet(tokenizer.alphabet or ())}",
        )
    return begin + [int(token) for token in tokenizer.encode(prompt)]


@torch.no_grad()
def generate(
    model: Llama,
    prompts: Sequence[Sequence[int]],
    options: SamplingOptions,
    should_stop: Callable[[], bool] = lambda: False,
    *,
    vocab_size: int | None = None,
    end: int | None = None,
    use_cache: bool = True,
    watch: Callable[[Tensor], None] | None = None,
) -> Iterator[Tensor]:
    """Yield the next token ids [B], up to `max_new_tokens` times, for B prompts of equal length.

    The model sees at most `max_seq_len` tokens. When they are used up, the window slides: the later half of them is
    read anew, and generation goes on from there; so each token has at least half a window of context. `use_cache=False`
    reads the whole window for every token, which gives the same text many times more slowly. `vocab_size` is the
    tokenizer's, where the model's is padded beyond it: the rest of the logits stand for nothing. Generation is over
    when every row has drawn the token `end`, which is yielded like any other. `watch` is shown the logits [B, V] that
    each choice is made from.
    """
    was_training = model.training
    model.eval()
    generator = torch.Generator().manual_seed(options.seed)
    limit = model.config.max_seq_len
    text = torch.tensor(prompts, dtype=torch.long)  # everything so far, [B, tokens], on the host
    cache = KeyValueCache(model.config, len(text), model.device, model.model.embed_tokens.weight.dtype)
    read = token_reader(model, cache)
    begin = max(0, text.shape[1] - limit)  # the window is what comes after it
    unread = text[:, begin:]
    ended = torch.zeros(len(text), dtype=torch.bool)
    try:
        for _ in range(options.max_new_tokens):
            if should_stop():
                return
            if full := text.shape[1] - begin > limit:
                begin = text.shape[1] - limit // 2 - 1
            if full or not use_cache:
                cache.length, unread = 0, text[:, begin:]
            logits = require_numbers(read(unread)[:, :vocab_size])
            if watch is not None:
                watch(logits)
            unread = choose(logits, text, options, generator)[:, None]
            text = torch.cat((text, unread), dim=1)
            yield unread[:, 0]
            if end is not None and bool((ended := ended | (unread[:, 0] == end)).all()):
                return
    finally:
        model.train(was_training)


def require_numbers(logits: Tensor) -> Tensor:
    """The logits [B, V] as they are. Raises TricksterError loss-not-finite where one is NaN or infinite."""
    if not math.isfinite(float(logits.sum())):
        raise TricksterError(
            "loss-not-finite",
            "The model's predictions are NaN or infinite: its weights overflowed, because training diverged.",
            "Use an earlier checkpoint, or train again with a third of training_config.learning_rate.",
        )
    return logits


def choose(logits: Tensor, text: Tensor, options: SamplingOptions, generator: torch.Generator) -> Tensor:
    """One token id per row, [B], from logits [B, V] and the tokens so far [B, T]."""
    if options.repetition_penalty != 1.0:
        present = logits.gather(1, text)
        penalised = torch.where(present > 0, present / options.repetition_penalty, present * options.repetition_penalty)
        logits = logits.scatter(1, text, penalised)
    if options.temperature < GREEDY_BELOW:
        return logits.argmax(dim=-1)
    return first_to_come(shaped_probabilities(logits, options), [generator])


def first_to_come(probabilities: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """A token id per row, [B], drawn from probabilities [B, V] by one generator for all rows, or one for each.

    Exponential waiting times with these rates: each token comes first as often as it is probable. That is what
    torch.multinomial does as well, and it draws the same numbers, but it checks them for longer than it draws.
    """
    times = torch.empty_like(probabilities)
    for part, generator in zip(times.chunk(len(generators)), generators, strict=True):
        part.exponential_(generator=generator)
    return (probabilities / times).argmax(dim=-1)


def shaped_probabilities(logits: Tensor, options: SamplingOptions) -> Tensor:
    """Probabilities [B, V] after temperature, top-k and top-p."""
    logits = logits / max(options.temperature, GREEDY_BELOW)
    if 0 < options.top_k < logits.shape[-1]:
        smallest = logits.topk(options.top_k).values[:, -1:]
        logits = logits.masked_fill(logits < smallest, -torch.inf)
    probabilities = logits.softmax(dim=-1)
    if options.top_p < 1.0:
        ordered, order = probabilities.sort(dim=-1, descending=True)
        # A token is dropped when those before it already reach top_p; the likeliest always stays.
        dropped = ordered.cumsum(dim=-1) - ordered >= options.top_p
        dropped[:, 0] = False  # also where top_p is 0 in the logits' number format
        ordered = ordered.masked_fill(dropped, 0.0)
        probabilities = torch.zeros_like(probabilities).scatter(1, order, ordered)
        probabilities /= probabilities.sum(dim=-1, keepdim=True)
    return probabilities
