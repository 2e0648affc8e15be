"""The clients that people have, at a real server: OpenAI's, curl and LangChain's; transformers on the same model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from openai import AuthenticationError, BadRequestError, NotFoundError, OpenAI

os.environ.setdefault("HF_HUB_OFFLINE", "1")
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.engine.serving.conftest import TOKEN, Server
from trickster_engine.inference.load import load_model
from trickster_engine.inference.sampling import SamplingOptions, sample

pytestmark = pytest.mark.xdist_group("serve")


@pytest.fixture(scope="module")
def client(server: Server) -> OpenAI:
    return OpenAI(base_url=server.base_url, api_key=TOKEN, max_retries=0, timeout=120)


def streamed(client: OpenAI, **asked: Any) -> tuple[list[dict[str, Any]], Any]:
    """What the chunks of a stream come to, and its usage."""
    choices: dict[int, dict[str, Any]] = {}
    usage = None
    for chunk in client.completions.create(stream=True, stream_options={"include_usage": True}, **asked):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            whole = choices.setdefault(choice.index, {"text": "", "logprobs": None, "finish_reason": None})
            assert whole["finish_reason"] is None
            whole["text"] += choice.text
            whole["finish_reason"] = choice.finish_reason
            if choice.logprobs is not None:
                whole["logprobs"] = whole["logprobs"] or {name: [] for name in choice.logprobs.model_dump()}
                for name, values in choice.logprobs.model_dump().items():
                    whole["logprobs"][name] += values
    return [choices[index] for index in sorted(choices)], usage


def whole(client: OpenAI, **asked: Any) -> tuple[list[dict[str, Any]], Any]:
    answer = client.completions.create(**asked)
    choices = [choice.model_dump(include={"text", "logprobs", "finish_reason"}) for choice in answer.choices]
    assert [choice.index for choice in answer.choices] == list(range(len(choices)))
    return choices, answer.usage


def test_openais_client_gets_what_trickster_samples(client: OpenAI, run: Path) -> None:
    model, tokenizer, _ = load_model(run)
    assert [one.id for one in client.models.list()] == ["tiny"] and client.models.retrieve("tiny").id == "tiny"
    for temperature, seed, top_p in ((0.0, 1, 1.0), (0.9, 7, 1.0), (1.2, -3, 0.8)):
        asked = {"model": "tiny", "prompt": "ROMEO:", "max_tokens": 90, "top_p": top_p}
        (choice,), usage = whole(client, temperature=temperature, seed=seed, **asked)
        options = SamplingOptions(90, temperature, top_p=top_p, seed=seed)
        assert choice["text"] == sample(model, tokenizer, "ROMEO:", options)  # past the context of 64 too
        assert choice["finish_reason"] == "length" and choice["logprobs"] is None
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (6, 90, 96)
    # A prompt as tokens, several prompts, several texts of each: each is what it is alone.
    asked = {"model": "tiny", "max_tokens": 12, "temperature": 1.0}
    prompts = [
        "ROMEO:",
        "What say",
        "ROMEO:\nWhat say you to this night, my lord, and speak no more of war and love ?\n",
    ]
    together, usage = whole(client, prompt=prompts, n=3, seed=10, **asked)
    alone = [whole(client, prompt=list(one.encode()), seed=10 + n, **asked)[0][0] for one in prompts for n in range(3)]
    assert together == alone and usage.completion_tokens == 9 * 12
    assert usage.prompt_tokens == sum(map(len, prompts))


def test_a_stream_is_the_whole_answer(client: OpenAI) -> None:
    asked = {"model": "tiny", "prompt": ["ROMEO:\n", "KING:\nWhat"], "max_tokens": 80, "temperature": 0.5, "seed": 4}
    (plain, *_), _ = whole(client, **asked)
    first, second = plain["text"][20:23], plain["text"][40:44]
    others: tuple[dict[str, Any], ...] = (
        {},
        {"n": 2, "logprobs": 3, "echo": True},
        {"stop": [second, "never", "\x00"], "logprobs": 0},
        {"stop": first},
        {"stop": plain["text"][-3:] + "#", "logprobs": 2},  # its beginning is held back, and comes in the end
    )
    for more in others:
        in_one, in_parts = whole(client, **asked, **more), streamed(client, **asked, **more)
        assert in_parts == in_one, more
        choice = in_one[0][0]
        if stops := more.get("stop"):
            stop = stops if isinstance(stops, str) else stops[0]
            cut = plain["text"].find(stop)
            assert choice["text"] == (plain["text"][:cut] if cut >= 0 else plain["text"])
            assert choice["finish_reason"] == ("stop" if cut >= 0 else "length")
        if logprobs := choice["logprobs"]:
            assert "".join(logprobs["tokens"]) == choice["text"]
            assert logprobs["text_offset"] == list(range(len(choice["text"])))  # a token is a byte here
    assert sum(choice["finish_reason"] == "stop" for choice in whole(client, **asked, stop=first)[0]) >= 1


def test_log_probabilities_are_those_of_transformers(client: OpenAI, run: Path) -> None:
    text = "KING:\nWhat say you to this night, caf\u00e9 ?"
    tokenizer = AutoTokenizer.from_pretrained(run / "final")
    model = AutoModelForCausalLM.from_pretrained(run / "final")
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    answer = client.completions.create(model="tiny", prompt=text, max_tokens=0, echo=True, logprobs=5)
    more = client.completions.create(model="tiny", prompt=text, max_tokens=8, temperature=0, echo=True, logprobs=5)
    (choice,), (longer,) = answer.choices, more.choices
    assert choice.text == text and longer.text.startswith(text) and longer.logprobs is not None
    ids = torch.cat((ids, torch.tensor([list(longer.text[len(text) :].encode())])), dim=1)
    with torch.no_grad():
        chances = model(ids).logits[0].log_softmax(-1)
    found = longer.logprobs
    assert found.token_logprobs is not None and found.tokens is not None and found.top_logprobs is not None
    assert len(found.tokens) == ids.shape[1] and found.token_logprobs[0] is None
    assert "bytes:\\xc3" in found.tokens
    expected = chances[:-1].gather(1, ids[0, 1:, None])[:, 0]
    torch.testing.assert_close(torch.tensor(found.token_logprobs[1:]), expected, atol=1e-4, rtol=1e-4)
    for place in (1, 20, ids.shape[1] - 1):
        likeliest = chances[place - 1].topk(5).values.tolist()
        assert sorted(found.top_logprobs[place].values(), reverse=True)[:5] == pytest.approx(likeliest, abs=1e-4)
    assert choice.logprobs is not None
    assert choice.logprobs.token_logprobs == found.token_logprobs[: len(text.encode())]


def test_32_clients_at_once_lose_nothing(client: OpenAI, server: Server) -> None:
    def asked(number: int) -> dict[str, Any]:
        return {
            "model": "tiny", "prompt": "What say you, my lord ? "[: 3 + number % 17], "max_tokens": 5 + 3 * number,
            "temperature": number % 3 / 2, "seed": number, "n": 1 + number % 2, "logprobs": number % 2 or None,
        }  # fmt: skip

    alone = [whole(client, **asked(number)) for number in range(32)]
    done = server.figure('trickster_requests_total{status="200"}')
    with ThreadPoolExecutor(32) as pool:
        ways = [(streamed if number % 3 else whole) for number in range(32)]
        together = list(pool.map(lambda number: ways[number](client, **asked(number)), range(32)))
    for (found, used), (expected, wanted) in zip(together, alone, strict=True):
        assert [one["text"] for one in found] == [one["text"] for one in expected]
        assert used == wanted
    assert server.figure('trickster_requests_total{status="200"}') == done + 32
    assert server.figure("trickster_texts_running") == server.figure("trickster_texts_waiting") == 0


def test_openais_client_knows_the_errors(client: OpenAI, server: Server) -> None:
    with pytest.raises(AuthenticationError) as unknown:
        OpenAI(base_url=server.base_url, api_key="guessed", max_retries=0).models.list()
    assert unknown.value.code == "invalid_api_key"
    with pytest.raises(NotFoundError) as missing:
        client.completions.create(model="gpt-3.5-turbo-instruct", prompt="A")
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    with pytest.raises(BadRequestError) as wrong:
        client.completions.create(model="tiny", prompt="A", temperature=3)
    assert (wrong.value.param, wrong.value.type) == ("temperature", "invalid_request_error")


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_curl_reads_the_stream(server: Server) -> None:
    asked = {"model": "tiny", "prompt": "ROMEO:", "max_tokens": 5, "temperature": 0, "stream": True}
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--fail", "--no-buffer", f"{server.base_url}/completions", "-H",
         f"Authorization: Bearer {TOKEN}", "-H", "Content-Type: application/json", "-d", json.dumps(asked)],
        capture_output=True, text=True, encoding="utf-8", check=True,
    )  # fmt: skip
    *events, last, nothing = done.stdout.split("\n\n")
    assert (last, nothing) == ("data: [DONE]", "")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    assert {chunk["object"] for chunk in chunks} == {"text_completion"}
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    assert len("".join(chunk["choices"][0]["text"] for chunk in chunks)) == 5


def test_langchains_client_writes_and_streams(server: Server, client: OpenAI) -> None:
    langchain = pytest.importorskip("langchain_openai", reason="langchain-openai is not installed")
    writer = langchain.OpenAI(
        base_url=server.base_url, api_key=TOKEN, model="tiny", temperature=0, max_tokens=20, max_retries=0
    )
    (expected,), _ = whole(client, model="tiny", prompt="KING:", max_tokens=20, temperature=0)
    assert writer.invoke("KING:") == expected["text"]
    assert "".join(writer.stream("KING:")) == expected["text"]
    assert writer.batch(["KING:", "ROMEO:"])[0] == expected["text"]
