"""A run on documents: text begins and ends with one, here and in transformers, and attention can end there too."""

from __future__ import annotations

import io
import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

os.environ.setdefault("HF_HUB_OFFLINE", "1")
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.engine.conftest import trickster
from tests.engine.training.stopping import stopped_after
from tests.engine.training.test_resume import begin, same_checkpoint
from trickster_engine.backends.select import open_backend
from trickster_engine.config import check
from trickster_engine.config.plan import ModelConfig
from trickster_engine.data.make_tokenizer import byte_tokenizer, with_end
from trickster_engine.inference.answers import Answers
from trickster_engine.inference.load import load_model
from trickster_engine.inference.sampling import SamplingOptions, choose, sample, sample_batch, stream
from trickster_engine.model.llama import Llama
from trickster_engine.runs import RunDirectory, read_events
from trickster_engine.training.start import resume

END = 256
LINES = ("the king shall speak", "a dog ran home", "who goes there now", "no more of love")


@pytest.fixture
def documents(tmp_path: Path, tiny_config: Callable[..., Path]) -> Callable[..., Path]:
    """A config for a text of lines of which there are four."""
    chooser = random.Random(1)
    lines = [f"{chooser.choice(LINES)} {number % 10}" for number in range(1_500)]
    (tmp_path / "lines.txt").write_text("\n".join(lines), encoding="utf-8")

    def write(**changes: object) -> Path:
        return tiny_config(
            model_config={"vocab_size": 257, "max_seq_len": 48, "dropout": 0.0},
            data_config={"corpus": "lines.txt", "documents": "lines", **changes},
            training_config={"max_steps": 150, "batch_size": 8, "learning_rate": 0.01, "eval_interval": 150,
                             "save_interval": 150, "log_interval": 50},
            sampling_config={"prompt": "a dog", "max_new_tokens": 40, "temperature": 0.0},
        )  # fmt: skip

    return write


def test_text_begins_and_ends_with_a_document(documents: Callable[..., Path]) -> None:
    run, outcome = begin(documents())
    assert outcome == "finished"
    model, tokenizer, _ = load_model(run.path)
    greedy = SamplingOptions(max_new_tokens=40, temperature=0.0)
    text = sample(model, tokenizer, "a dog", greedy)
    assert len(text) < 40 and text[-1].isdigit(), "it has ended by itself, where lines do"
    assert "".join(stream(model, tokenizer, "a dog", greedy)) == text
    # Without a prompt a whole document comes; rows end each on its own, and `through` goes on with the next one.
    options = SamplingOptions(max_new_tokens=80, temperature=0.5)
    alone, others, prompted = sample_batch(model, tokenizer, ["", "", "a dog"], options)
    assert any((alone or others).startswith(line[:5]) for line in LINES) and "\n" not in alone + prompted
    assert "\n" in sample_batch(model, tokenizer, ["a dog"], options, through=True)[0]
    # The run wrote the same while it trained, and so does the command line, which says so too.
    events, _ = read_events(run.events_path)
    assert [event["text"] for event in events if event["kind"] == "sample"][-1] == text
    answer = trickster("sample", run.path, "--json", "--prompt", "a dog", "--temperature", "0")
    assert json.loads(answer.stdout)["samples"] == [{"prompt": "a dog", "text": text}]
    for count, reason in ((40, "document"), (3, "length")):
        said = io.StringIO()
        request = {"id": 1, "method": "generate", "path": str(run.path), "prompt": "a dog"}
        Answers(said, lambda _: False).answer({**request, "options": {"max_new_tokens": count, "temperature": 0.0}})
        result = json.loads(said.getvalue().splitlines()[-1])["result"]
        assert result["finish_reason"] == reason
        assert result["text"] == (text if reason == "document" else text[:3]) and result["tokens"] == len(
            result["text"]
        )
    # transformers needs no help to begin and to stop.
    config = json.loads((run.path / "final/config.json").read_text())
    assert config["eos_token_id"] == config["bos_token_id"] == END
    theirs, words = (kind.from_pretrained(run.path / "final") for kind in (AutoModelForCausalLM, AutoTokenizer))
    inputs = words("a dog", return_tensors="pt", return_token_type_ids=False)
    written = theirs.generate(**inputs, max_new_tokens=40, do_sample=False)[0]
    assert written[0] == written[-1] == END
    assert words.decode(written, skip_special_tokens=True) == "a dog" + text
    # A GGUF file says where text ends, and that a prompt begins behind it, to whoever reads one.
    gguf = pytest.importorskip("gguf")
    exported = trickster("export", run.path, "--to", "gguf", "--output", run.path.parent / "model.gguf")
    assert exported.returncode == 0, exported.stderr
    fields = gguf.GGUFReader(run.path.parent / "model.gguf").fields
    said_there = {name: fields[f"tokenizer.ggml.{name}"].contents() for name in ("eos_token_id", "bos_token_id")}
    assert said_there == {"eos_token_id": END, "bos_token_id": END}
    assert fields["tokenizer.ggml.add_bos_token"].contents() is True


def test_a_run_on_documents_resumes_as_if_it_had_not_stopped(documents: Callable[..., Path]) -> None:
    path = documents(mask_documents=True, drop_duplicates=False)
    overrides = {"training_config.max_steps": "6", "training_config.save_interval": "6"}
    text = path.read_text()
    for key, value in overrides.items():
        name = key.partition(".")[2]
        text = text.replace(f"{name}: 150", f"{name}: {value}")
    path.write_text(text)
    whole, _ = begin(path)
    with stopped_after(3):
        run, outcome = begin(path)
    assert outcome == "stopped"
    resume(RunDirectory(run.path), {}, show_progress=False)
    same_checkpoint(whole.path / "checkpoints/step-000006", run.path / "checkpoints/step-000006")


def test_a_document_in_a_window_is_predicted_as_if_it_were_alone() -> None:
    """Each of several documents of a window, by a model of grouped heads, forwards and backwards."""
    config = ModelConfig(
        vocab_size=257,
        hidden_dim=32,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        mlp_dim=64,
        max_seq_len=64,
        dropout=0.0,
    )
    model = Llama(config).initialize(3)
    with torch.no_grad():
        for parameter in model.parameters():  # attention of a fresh model hardly looks at anything
            parameter.mul_(4)
    chooser = np.random.default_rng(0)
    parts = [[END, *chooser.integers(0, 256, size).tolist(), END] for size in (1, 9, 30, 17)]
    window = torch.tensor([[END] + [token for part in parts for token in part[1:]]])

    def losses(tokens: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(model(tokens[:, :-1])[0].float(), tokens[0, 1:], reduction="none")

    alone = torch.cat([losses(torch.tensor([part])) for part in parts])
    gradients = torch.autograd.grad(alone.sum(), list(model.parameters()))
    for mode, recompute in ((True, False), (True, True), (False, False)):
        model.train(mode)
        model.model.recompute_blocks = recompute
        model.model.document_end = None
        assert (losses(window) - alone).abs().max() > 0.01, "without a mask, what was before it is seen"
        model.model.document_end = END
        together = losses(window)
        torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)
        found = torch.autograd.grad(together.sum(), list(model.parameters()))
        for ours, theirs in zip(found, gradients, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_text_through_several_documents_does_not_see_the_one_before() -> None:
    """Token by token, what the whole text's mask says comes next; the text goes on where a document ends."""
    config = replace(ModelConfig(), vocab_size=257, hidden_dim=32, num_layers=2, num_heads=4, num_kv_heads=2,
                     mlp_dim=64, max_seq_len=96, dropout=0.0, tie_embeddings=False)  # fmt: skip
    model = Llama(config).initialize(5).eval()
    likely = [*b"abcdefg\n", END]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.endswith("norm.weight"):
                parameter.mul_(12)
        assert model.lm_head is not None
        model.lm_head.weight[[token for token in range(257) if token not in likely]] = 0
    tokenizer = with_end(byte_tokenizer())
    greedy = SamplingOptions(max_new_tokens=80, temperature=0.0, repetition_penalty=1.05)
    wanted = {}
    for masked in (False, True):
        model.model.document_end = END if masked else None
        tokens = [END, *b"ab"]
        while len(tokens) < 83:
            documents = (
                [tokens] if not masked else [tokens[max(at for at in range(len(tokens)) if tokens[at] == END) :]]
            )
            with torch.no_grad():
                logits = model(torch.tensor([tokens]))[:, -1]
            tokens.append(int(choose(logits, torch.tensor(documents), greedy, torch.Generator())))
        wanted[masked] = bytes(10 if token == END else token for token in tokens[3:]).decode()
    assert tokens.count(END) > 3 and wanted[True] != wanted[False]
    prompts = ["ab", "", "ab"]
    model.model.document_end = END
    first, other, again = sample_batch(model, tokenizer, prompts, greedy, through=True)
    assert first == again == wanted[True] and len(other) == 80
    model.model.document_end = None
    assert sample_batch(model, tokenizer, ["ab"], greedy, through=True) == [wanted[False]]


def test_the_backend_masks_what_the_plan_says(documents: Callable[..., Path]) -> None:
    path = documents(mask_documents=True)
    plan = check(path.read_text(), path.parent).plan
    assert plan is not None
    tokens = np.random.default_rng(1).integers(0, 256, (8, 49))
    tokens[:, 20] = END
    first, second = tokens[:, :21], tokens[:, 20:]
    found = {}
    for masked in (True, False):
        backend = open_backend(plan, "fp32", document_end=END if masked else None)
        try:
            together, *apart = (backend.evaluate([(one[:, :-1], one[:, 1:])]) for one in (tokens, first, second))
            trained = backend.step([(tokens[:, :-1], tokens[:, 1:])], 0.0).loss
        finally:
            backend.close()
        assert trained == pytest.approx(together, rel=1e-6)
        found[masked] = abs(together - (20 * apart[0] + 28 * apart[1]) / 48)
    assert found[True] < 1e-6 < found[False]
