"""Inside a model: what transformers says of the same weights, and an independent forward pass in NumPy."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

os.environ.setdefault("HF_HUB_OFFLINE", "1")
from transformers import LlamaForCausalLM

from tests.engine.model.test_huggingface import as_arrays, small
from tests.refusals import refused
from trickster_engine.backends.torch.layer_watch import TorchLayerWatch
from trickster_engine.cli import main
from trickster_engine.config.plan import ModelConfig
from trickster_engine.data.make_tokenizer import byte_tokenizer
from trickster_engine.inference.activations import capture
from trickster_engine.inference.embedding_map import embedding_map, kind_of, umap_installed
from trickster_engine.inference.heads import head_scores, induction_targets, score, targets
from trickster_engine.inference.inside import inside, what_if
from trickster_engine.inference.inside_parts import embedding, neuron
from trickster_engine.inference.neurons import direct_effect
from trickster_engine.inference.packing import unpacked
from trickster_engine.inference.sampling import SamplingOptions, sample
from trickster_engine.model.huggingface import write_model
from trickster_engine.model.llama import Llama

Array = NDArray[np.float64]
Weights = Mapping[str, NDArray[Any]]
TEXT = "First Citizen:\nWe are accounted poor"
OTHER = "Second Citizen:\nWould you proceed?"


def never() -> bool:
    return False


def sharp(config: ModelConfig) -> Llama:
    """A model of random weights that are large enough for attention to be far from even."""
    model = Llama(config).initialize(5).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.mul_(4.0 if value.dim() > 1 else 1.0)
            if value.dim() == 1:
                noise = torch.randn(value.shape, generator=torch.Generator().manual_seed(len(name)))
                value.add_(0.3 * noise)
    return model


def saved(folder: Path, config: ModelConfig) -> Llama:
    model = sharp(config)
    write_model(folder, config, as_arrays(model))
    byte_tokenizer().save(folder)
    return model


GROUPED = small(num_kv_heads=2, tie_embeddings=False)


@pytest.fixture(scope="module")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Llama]:
    folder = tmp_path_factory.mktemp("grouped")
    return folder, saved(folder, GROUPED)


def forward(
    weights: Weights,
    config: ModelConfig,
    ids: list[int],
    change: Callable[[str, int, Array], Array] = lambda part, layer, values: values,
) -> dict[str, Any]:
    """A Llama in NumPy, written from its description; `change` may replace what a part of a layer comes to."""

    def norm(x: Array, name: str) -> Array:
        scaled: Array = x / np.sqrt((x * x).mean(-1, keepdims=True) + config.norm_eps) * weights[name]
        return scaled

    def turned(x: Array) -> Array:  # [T, heads, C]
        half = config.head_dim // 2
        angle = np.outer(np.arange(len(x)), config.rope_theta ** -(np.arange(half) * 2 / config.head_dim))[:, None]
        a, b = x[..., :half], x[..., half:]
        return np.concatenate((a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)), -1)

    def matrix(x: Array, name: str) -> Array:
        product: Array = x @ weights[name].T.astype(np.float64)
        return product

    length = len(ids)
    x = weights["model.embed_tokens.weight"][ids].astype(np.float64)
    streams, attentions = [x], []
    for layer in range(config.num_layers):
        at = f"model.layers.{layer}."
        y = norm(x, f"{at}input_layernorm.weight")
        q, k, v = (
            matrix(y, f"{at}self_attn.{name}_proj.weight").reshape(length, -1, config.head_dim) for name in "qkv"
        )
        share = config.num_heads // config.num_kv_heads
        k, v = np.repeat(turned(k), share, axis=1), np.repeat(v, share, axis=1)
        scores = np.einsum("qhc,khc->hqk", turned(q), k) / np.sqrt(config.head_dim)
        scores = np.where(np.tri(length, dtype=bool), scores, -np.inf)
        weight = np.exp(scores - scores.max(-1, keepdims=True))
        weight /= weight.sum(-1, keepdims=True)
        heads = change("head", layer, np.einsum("hqk,khc->qhc", weight, v))
        x = x + change("attention", layer, matrix(heads.reshape(length, -1), f"{at}self_attn.o_proj.weight"))
        y = norm(x, f"{at}post_attention_layernorm.weight")
        gate = matrix(y, f"{at}mlp.gate_proj.weight")
        active = change("neuron", layer, gate / (1 + np.exp(-gate)) * matrix(y, f"{at}mlp.up_proj.weight"))
        x = change("layer", layer, x + change("mlp", layer, matrix(active, f"{at}mlp.down_proj.weight")))
        streams.append(x)
        attentions.append(weight)
    output = "model.embed_tokens.weight" if config.tie_embeddings else "lm_head.weight"

    def softmax(stream: Array) -> Array:
        logits = matrix(norm(stream, "model.norm.weight"), output)
        powers = np.exp(logits - logits.max(-1, keepdims=True))
        return np.asarray(powers / powers.sum(-1, keepdims=True))

    return {"streams": streams, "attentions": attentions, "lens": [softmax(stream) for stream in streams]}


@pytest.mark.parametrize("shape", [{"num_kv_heads": 2, "tie_embeddings": False}, {"num_kv_heads": 4}], ids=str)
def test_states_and_attention_are_those_of_transformers(tmp_path: Path, shape: dict[str, Any]) -> None:
    model = saved(tmp_path, small(**shape))
    ids = list(TEXT.encode())
    found = capture(model, ids)
    theirs = LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        expected = theirs(torch.tensor([ids]), output_attentions=True, output_hidden_states=True)
    attention = torch.stack(expected.attentions)[:, 0]
    assert float(attention.amax(-1).mean()) > 2 / len(ids)  # it looks at something
    torch.testing.assert_close(found.attention, attention, atol=1e-5, rtol=0)
    *states, last = (state[0] for state in expected.hidden_states)
    torch.testing.assert_close(found.residual[:-1], torch.stack(states), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model.model.norm(found.residual[-1]), last, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.logits, expected.logits[0], atol=1e-4, rtol=1e-5)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_document_of_a_model_that_masks_them_is_read_as_if_alone() -> None:
    """RoPE knows distances only, so neither its place nor what precedes it changes what is seen of the second one."""
    model, end = sharp(GROUPED), 5
    ids = [*TEXT.encode(), end, *OTHER.encode()]
    second = ids[(begin := ids.index(end)) :]
    model.model.document_end = end
    found, alone = capture(model, ids), capture(model, second)
    torch.testing.assert_close(found.attention[:, :, begin:, begin:], alone.attention, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.logits[begin:], alone.logits, atol=1e-4, rtol=1e-5)
    assert not found.attention[:, :, begin:, :begin].any()
    statistics, part = TorchLayerWatch(model), np.array([second])
    measured = statistics.measure((part[:, :-1], part[:, 1:]), (part[:, :-1], part[:, 1:])).attention_entropy
    weights = capture(model, second[:-1]).attention[:, :, 1:]
    entropy = torch.special.entr(weights).sum(-1) / torch.arange(2, len(second)).log()
    assert measured == pytest.approx({str(layer): float(of.mean()) for layer, of in enumerate(entropy)}, abs=1e-5)


def test_the_picture_of_a_text_equals_numpy(grouped: tuple[Path, Llama]) -> None:
    folder, model = grouped
    ids = list(TEXT.encode())
    expected = forward(as_arrays(model), GROUPED, ids)
    found = inside({"path": str(folder), "text": TEXT, "top": 4}, never)
    lens = np.stack(expected["lens"])  # [L + 1, T, V]
    following = lens[:, np.arange(len(ids) - 1), ids[1:]]
    np.testing.assert_allclose(unpacked(found["lens"]["next_probability"])[:, :-1], following, atol=1e-5)
    ranks = (lens[:, :-1] > following[..., None]).sum(-1)
    np.testing.assert_array_equal(unpacked(found["lens"]["next_rank"])[:, :-1], ranks)
    np.testing.assert_array_equal(unpacked(found["lens"]["ids"]), np.argsort(-lens, axis=-1)[..., :4])
    np.testing.assert_allclose([token["loss"] for token in found["tokens"][1:]], -np.log(following[-1]), atol=1e-4)
    assert found["tokens"][0]["loss"] is None and found["text"] == TEXT and found["left_out"] == 0
    lengths = np.linalg.norm(np.stack(expected["streams"]), axis=-1)
    np.testing.assert_allclose(unpacked(found["stream"]["residual"]), lengths, rtol=1e-4)
    np.testing.assert_allclose(
        unpacked(found["attention"]) / 255, np.stack(expected["attentions"]), atol=0.5 / 255 + 1e-6
    )
    logits = unpacked(found["logits"]).astype(np.float64)
    for temperature in (0.5, 1.0):
        powers = np.exp((logits - logits.max()) / temperature)
        hot = lens[-1, -1] ** (1 / temperature)
        np.testing.assert_allclose(powers / powers.sum(), hot / hot.sum(), atol=1e-5)
    strongest = unpacked(found["neurons"]["activations"])
    captured = capture(model, ids)
    assert (np.diff(np.abs(strongest)) <= 0).all()
    assert np.abs(strongest[..., 0]).max() == pytest.approx(float(captured.neurons.abs().max()))
    with refused("part-unknown"):
        inside({"path": str(folder), "text": TEXT, "layers": [3]}, never)
    long = inside({"path": str(folder), "text": "ab" * 200, "want": []}, never)
    assert (len(long["tokens"]), long["left_out"], long["attention"]) == (256, 144, None)


PARTS = [("head", 2), ("neuron", 7), ("attention", None), ("mlp", None), ("layer", None)]


@pytest.mark.parametrize(("part", "index"), PARTS)
def test_what_if_equals_numpy(grouped: tuple[Path, Llama], part: str, index: int | None) -> None:
    folder, model = grouped
    weights, ids = as_arrays(model), list(TEXT.encode())
    component = {"part": part, "layer": 1, "index": index}
    taken: dict[str, Array] = {}

    def keep(name: str, layer: int, values: Array) -> Array:
        if layer == 1:
            taken[name] = values
        return values

    def without(name: str, layer: int, values: Array) -> Array:
        if layer != 1 or name not in ({"attention", "mlp"} if part == "layer" else {part}):
            return values
        silent: Array = values.copy()
        silent[(slice(None), slice(None) if index is None else index)] = 0
        return silent

    def patched(name: str, layer: int, values: Array) -> Array:
        if (name, layer) != (part, 1):
            return values
        changed: Array = values.copy()
        where = slice(None) if index is None else index
        changed[9, where] = taken[part][4, where]
        return changed

    forward(weights, GROUPED, list(OTHER.encode()), keep)
    request = {"path": str(folder), "text": TEXT, "max_new_tokens": 6}
    patch = {"component": component, "from_text": OTHER, "position": 9, "from_position": 4}
    for changes, change in (({"switched_off": [component]}, without), ({"patches": [patch]}, patched)):
        found = what_if({**request, **changes}, never)
        for name, how in (("before", lambda name, layer, values: values), ("after", change)):
            expected = forward(weights, GROUPED, ids, how)["lens"][-1]
            losses = [token["loss"] for token in found[name]["tokens"][1:]]
            np.testing.assert_allclose(losses, -np.log(expected[np.arange(len(ids) - 1), ids[1:]]), atol=1e-4)
            assert found[name]["loss"] == pytest.approx(np.mean(losses))
            assert found[name]["next"][0]["id"] == expected[-1].argmax()
            going_on = list(ids)  # the whole text is read again for each token, where the engine remembers it
            for _ in range(6):
                going_on.append(int(forward(weights, GROUPED, going_on, how)["lens"][-1][-1].argmax()))
            written = bytes(going_on[len(ids) :]).decode("utf-8", "replace")
            assert found[name]["continuation"] == written
        assert found["before"]["loss"] != pytest.approx(found["after"]["loss"], abs=1e-5)
    long = {**request, "text": TEXT * 5, "max_new_tokens": 120, "temperature": 0.9, "seed": 4}  # the window slides
    again = what_if(long, never)
    options = SamplingOptions(max_new_tokens=120, temperature=0.9, seed=4)
    written = sample(model, byte_tokenizer(), TEXT * 5, options)
    assert again["after"] == again["before"] and again["before"]["continuation"] == written
    with refused("part-unknown"):
        what_if({**request, "patches": [{**patch, "position": 99}]}, never)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_the_command_prints_a_table(grouped: tuple[Path, Llama], capsys: pytest.CaptureFixture[str]) -> None:
    folder, _ = grouped
    words = ["inside", str(folder), "--text", "To be\nor", "--off", "0.1"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert main([*words, "--head", "2.3"]) == 0
    printed = capsys.readouterr().out
    assert f"mean loss {found['loss']:.4f} nats/token, without 0.1" in printed
    weights = unpacked(found["attention"])[2, 3] / 255
    top = int(weights[-1].argmax())
    row = next(line for line in printed.splitlines() if line.startswith("    7 'r'"))
    assert row.split()[2] == f"{found['tokens'][7]['loss']:.3f}"
    assert row.split()[4:6] == [str(top), repr("To be\nor"[top])] or "To be\nor"[top] == " "
    assert f"{weights[-1].max():.2f}" in row
    assert main([*words, "--head", "2.4"]) == 2 and main([*words, "--head", "two"]) == 2


def test_a_head_that_does_one_thing_scores_one() -> None:
    text = "the cat\nthe cat sat\non it"
    ids, breaks = list(text.encode()), [one == "\n" for one in text]
    length = len(ids)
    wanted = targets(ids, breaks)
    planted = {name: torch.zeros(length, length) for name in wanted}
    for row in range(length):
        last = max([-1, *(at for at in range(row) if text[at] == "\n")])
        same = [at for at in range(row - 1) if ids[at] == ids[row]]
        planted["current"][row, row] = 1
        planted["previous"][row, max(row - 1, 0)] = 1
        planted["first"][row, 0] = 1
        planted["same"][row, same if same else [row]] = 1 / max(len(same), 1)
        planted["line_start"][row, max(last, 0)] = 1
    even = torch.tril(torch.ones(length, length))
    heads = torch.stack([*planted.values(), even / even.sum(-1, keepdim=True)])
    found = head_scores(heads[None], wanted, None)
    for name, one in zip(planted, found, strict=False):
        assert getattr(one, name) == pytest.approx(1) and one.label == name, name
    assert found[-1].label is None and found[-1].induction is None
    repeated = torch.eye(20)[None].clone()
    repeated[0, 10:] = torch.eye(20)[1:11]
    assert float(score(repeated, induction_targets(20))[0]) == 1


def test_neurons_and_the_map(grouped: tuple[Path, Llama], tmp_path: Path) -> None:
    folder, model = grouped
    text = "".join(chr(32 + (7 * at * at) % 90) for at in range(512))
    found = neuron({"path": str(folder), "layer": 1, "neuron": 3, "text": text, "count": 4}, never)
    values = np.stack(
        [capture(model, list(text[at : at + 128].encode())).neurons[1, :, 3].numpy() for at in range(0, 512, 128)]
    )
    best = sorted(values.max(axis=1), reverse=True)
    np.testing.assert_allclose([one["activation"] for one in found["highest"]], best, rtol=1e-4)
    assert (found["tokens"], found["mean"]) == (512, pytest.approx(values.mean(), abs=1e-5))
    row, at = np.unravel_index(values.argmax(), values.shape)
    assert found["highest"][0]["token"] == text[128 * row + at]
    assert (found["highest"][0]["before"] + found["highest"][0]["token"]) in text
    # The direct path, by its definition: how the logits move when the last stream is the column itself.
    column = model.model.layers[1].mlp.down_proj.weight[:, 3].detach()  # type: ignore[union-attr, index]
    assert model.lm_head is not None
    moved = model.lm_head.weight @ (column * model.model.norm.weight)
    torch.testing.assert_close(direct_effect(model, 1, 3, 256), (moved - moved.mean()).detach())
    with refused("not-a-run"):
        neuron({"path": str(folder), "layer": 1, "neuron": 3}, never)

    drawn = embedding({"path": str(folder)}, never)
    ids = [point["id"] for point in drawn["points"]]
    places = np.array([(point["x"], point["y"]) for point in drawn["points"]])
    table = as_arrays(model)["model.embed_tokens.weight"][ids].astype(np.float64)
    left, lengths, _ = np.linalg.svd(table - table.mean(0), full_matrices=False)
    np.testing.assert_allclose(np.abs(places), np.abs(left[:, :2] * lengths[:2]), atol=1e-6)
    np.testing.assert_allclose(drawn["explained"], lengths[:2] ** 2 / (lengths**2).sum(), atol=1e-9)
    kinds = {point["text"]: point["kind"] for point in drawn["points"]}
    assert [kinds[one] for one in "Aa7 ,"] == ["capital", "lower case", "digit", "space", "punctuation"]
    assert kind_of(" The") == "capital" and kind_of("\ufffd") == "other" and drawn["left_out"] == 256 - len(ids)
    if not umap_installed():
        with refused("umap-missing"):
            embedding_map(table, "umap")
