"""From the JSON of a completions request to what is wanted; whatever cannot be done is refused as OpenAI does it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trickster_engine.data.tokenizer import Tokenizer
from trickster_engine.errors import TricksterError
from trickster_engine.inference.sampling import SamplingOptions, encode_prompt
from trickster_engine.serving.api_error import ApiError, wrong

#: Limits of OpenAI's API.
MOST_LOGPROBS = 5
MOST_STOPS = 4
MOST_TEMPERATURE = 2.0
#: Texts that one request may ask for: prompts times `n`.
MOST_TEXTS = 128
#: Characters of prompts that an answer repeats, for all of its texts.
MOST_ECHOED = 1 << 22
_DEFAULT_TOKENS = 16

#: Fields of the API that this server does not act on, with what they may say: that nothing is wanted.
_NOT_DONE: Mapping[str, tuple[object, ...]] = {
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
    "logit_bias": (None, {}),
    "suffix": (None, ""),
}
_KNOWN = {
    *("model", "prompt", "max_tokens", "temperature", "top_p", "top_k", "n", "best_of", "stop", "seed", "stream"),
    *("stream_options", "logprobs", "echo", "user", *_NOT_DONE),
}


@dataclass(frozen=True)
class Prompt:
    """A prompt as the model reads it, and as text; `unseen` tokens at its beginning are no part of the text."""

    ids: list[int]
    text: str
    unseen: int


@dataclass(frozen=True)
class Wanted:
    """A request that can be done."""

    prompts: list[Prompt]
    n: int
    max_tokens: int
    options: SamplingOptions
    stops: tuple[str, ...]
    logprobs: int | None
    echo: bool
    stream: bool
    include_usage: bool


@dataclass(frozen=True)
class Served:
    """The model that requests are held to: how it is called, its tokenizer, its context and the longest answer."""

    name: str
    tokenizer: Tokenizer
    context: int
    most_tokens: int


def read_request(body: bytes, served: Served) -> Wanted:
    """What a body asks for. Raises ApiError."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise ApiError(400, "We could not parse the JSON body of your request.") from None
    if not isinstance(given, dict):
        raise ApiError(400, "The JSON body of your request is not an object.")
    _require_model(given, served.name)
    for name in given:
        if name not in _KNOWN:
            raise ApiError(400, f"Unrecognized request argument supplied: {name}", "unknown_parameter", name)
    for name, nothing in _NOT_DONE.items():
        if given.get(name) not in nothing:
            raise wrong(name, f"This server does not support '{name}'.", "unsupported_parameter")
    n = _whole(given, "n", 1, 1, MOST_TEXTS)
    if given.get("best_of") not in (None, n):
        raise wrong("best_of", "This server supports 'best_of' only where it is equal to 'n'.", "unsupported_parameter")
    prompts = _prompts(given.get("prompt"), served.tokenizer)
    if n * len(prompts) > MOST_TEXTS:
        raise wrong("n", f"{len(prompts)} prompts times {n} are more than {MOST_TEXTS} texts.")
    logprobs = None if given.get("logprobs") is None else _whole(given, "logprobs", 0, 0, MOST_LOGPROBS)
    echo, stream = _flag(given, "echo"), _flag(given, "stream")
    longest = max(len(prompt.ids) for prompt in prompts)
    if echo and n * sum(len(prompt.text) for prompt in prompts) > MOST_ECHOED:
        raise wrong("echo", f"'echo' would repeat more than {MOST_ECHOED:,} characters of prompts.")
    if echo and logprobs is not None and longest > served.context:
        raise ApiError(
            400,
            f"This model's maximum context length is {served.context} tokens, and log probabilities of a prompt are "
            f"taken from one reading; your prompt has {longest} tokens.",
            "context_length_exceeded",
            "prompt",
        )
    options = SamplingOptions(
        temperature=_number(given, "temperature", 1.0, MOST_TEMPERATURE),
        top_p=_number(given, "top_p", 1.0, 1.0),
        top_k=_whole(given, "top_k", 0, 0, 2**31 - 1),
        seed=_whole(given, "seed", secrets.randbits(62), -(2**63), 2**63 - 1),
    )
    return Wanted(
        prompts=prompts,
        n=n,
        max_tokens=_whole(given, "max_tokens", _DEFAULT_TOKENS, 0, served.most_tokens),
        options=options,
        stops=_stops(given.get("stop")),
        logprobs=logprobs,
        echo=echo,
        stream=stream,
        include_usage=_usage_wanted(given.get("stream_options"), stream),
    )


def _require_model(given: dict[str, Any], name: str) -> None:
    model = given.get("model")
    if model is None:
        raise wrong("model", "you must provide a model parameter", "missing_required_parameter")
    if not isinstance(model, str):
        raise _mistyped("model", "a string", model)
    if model != name:
        message = f"The model '{model[:200]}' does not exist. This server has '{name}'."
        raise ApiError(404, message, "model_not_found", "model")


def _prompts(given: object, tokenizer: Tokenizer) -> list[Prompt]:
    """A string, strings, tokens or lists of tokens; nothing is the beginning of a document."""
    if given is None:
        given = ""
    if isinstance(given, str):
        return [_of_text(given, tokenizer)]
    if not isinstance(given, list):
        raise _mistyped("prompt", "a string, an array of strings, an array of tokens or an array of these", given)
    if not given:
        raise wrong("prompt", "'prompt' is an empty array; it needs at least one element.", "empty_array")
    if len(given) > MOST_TEXTS and not _is_token(given[0]):
        raise wrong("prompt", f"{len(given)} prompts are more than {MOST_TEXTS}.")
    if all(_is_token(one) for one in given):
        return [_of_tokens(given, tokenizer)]
    if all(isinstance(one, str) for one in given):
        return [_of_text(one, tokenizer) for one in given]
    if all(isinstance(one, list) and one and all(_is_token(token) for token in one) for one in given):
        return [_of_tokens(one, tokenizer) for one in given]
    raise wrong("prompt", "'prompt' mixes strings, tokens and arrays, or holds something else.", "invalid_type")


def _is_token(given: object) -> bool:
    return type(given) is int


def _of_text(text: str, tokenizer: Tokenizer) -> Prompt:
    try:
        ids = encode_prompt(tokenizer, text)
    except TricksterError as error:
        raise ApiError(400, error.message, error.code, "prompt") from None
    return Prompt(ids, text, 0 if tokenizer.begin_id is None else 1)


def _of_tokens(ids: list[int], tokenizer: Tokenizer) -> Prompt:
    for token in ids:
        if not 0 <= token < tokenizer.vocab_size:
            raise wrong("prompt", f"Token {token} is not in the vocabulary: 0 to {tokenizer.vocab_size - 1}.")
    return Prompt(ids, tokenizer.decode(ids), 0)


def _stops(given: object) -> tuple[str, ...]:
    stops = [] if given is None else [given] if isinstance(given, str) else given
    if not isinstance(stops, list) or not all(isinstance(one, str) for one in stops):
        raise _mistyped("stop", "a string or an array of strings", given)
    if len(stops) > MOST_STOPS:
        raise wrong(
            "stop", f"'stop' has {len(stops)} strings; at most {MOST_STOPS} are allowed.", "array_above_max_length"
        )
    if "" in stops:
        raise wrong("stop", "A string in 'stop' is empty.", "empty_string")
    return tuple(stops)


def _usage_wanted(given: object, stream: bool) -> bool:
    if given is None:
        return False
    if not stream:
        raise wrong("stream_options", "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
    if not isinstance(given, dict) or set(given) - {"include_usage", "include_obfuscation"}:
        raise _mistyped("stream_options", "an object with 'include_usage'", given)
    return _flag(given, "include_usage")


def _flag(given: dict[str, Any], name: str) -> bool:
    value = given.get(name)
    if value is not None and not isinstance(value, bool):
        raise _mistyped(name, "a boolean", value)
    return bool(value)


def _whole(given: dict[str, Any], name: str, default: int, low: int, high: int) -> int:
    value = given.get(name)
    if value is None:
        return default
    if type(value) is not int:
        raise _mistyped(name, "an integer", value)
    if value < low:
        raise wrong(name, f"'{name}' is {_shown(value)}; the minimum is {low}.", "integer_below_min_value")
    if value > high:
        raise wrong(name, f"'{name}' is {_shown(value)}; the maximum is {high}.", "integer_above_max_value")
    return value


def _number(given: dict[str, Any], name: str, default: float, high: float) -> float:
    value = given.get(name)
    if value is None:
        return default
    if type(value) not in (int, float):
        raise _mistyped(name, "a number", value)
    if not 0 <= value <= high:  # NaN is refused with them
        which = "below_min" if value < 0 else "above_max"
        raise wrong(name, f"'{name}' is {_shown(value)}; it must be from 0 to {high:g}.", f"decimal_{which}_value")
    return float(value)


def _mistyped(name: str, expected: str, value: object) -> ApiError:
    return wrong(name, f"'{name}' must be {expected}, and is {_shown(value)}.", "invalid_type")


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
