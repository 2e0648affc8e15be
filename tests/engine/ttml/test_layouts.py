"""Every way to get the layout wrong, planted on purpose: the comparison with torch must notice each of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.engine.ttml.plans import MODEL, plan
from trickster_engine.backends.ttml import weights
from trickster_engine.backends.ttml.backend import TtmlBackend
from trickster_engine.backends.ttml.weights import TtmlLayout, interleave_halves, round_to_bf16, split_pairs
from trickster_engine.doctor.parity import TOLERANCE, relative_error, some_tokens, telling_weights, torch_logits
from trickster_engine.errors import TricksterError

HIDDEN, KV, MLP, VOCAB = 128, 64, 96, 64


def logit_error() -> float:
    weights, tokens = telling_weights(MODEL), some_tokens(MODEL, 2)
    backend = TtmlBackend(plan(), report=lambda _: None)
    try:
        backend.load(weights, {}, {})
        return relative_error(backend.logits(tokens), torch_logits(MODEL, weights, tokens))
    finally:
        backend.close()


@pytest.mark.parametrize("fused", [False, True], ids=["split", "fused"])
@pytest.mark.parametrize("mistake", ["split_half_rope", "v_before_k", "gate_up_swapped", "tiled_gqa"])
def test_a_device_that_does_it_otherwise_is_noticed(double: Callable[..., Any], mistake: str, fused: bool) -> None:
    double(mistake=mistake, fused_qkv=fused, fused_gate_up=fused)
    assert logit_error() > 4 * TOLERANCE


def test_rows_that_are_not_permuted_are_noticed(double: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    double()
    monkeypatch.setattr(weights, "interleave_halves", lambda matrix, heads: matrix)
    assert logit_error() > 4 * TOLERANCE


@pytest.mark.parametrize(
    ("tail", "parts"),
    [
        ("attention/kv_linear/weight", ("self_attn.v_proj", "self_attn.k_proj")),
        ("mlp/w1/weight", ("mlp.up_proj",)),
        ("attention/qkv_linear/weight", ("self_attn.k_proj", "self_attn.q_proj", "self_attn.v_proj")),
        ("mlp/w_gate_up/weight", ("mlp.up_proj", "mlp.gate_proj")),
    ],
)
def test_a_table_that_says_otherwise_is_noticed(
    double: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tail: str, parts: tuple[str, ...]
) -> None:
    fused = "qkv" in tail or "gate_up" in tail
    double(fused_qkv=fused, fused_gate_up=fused)
    table = {**weights._BLOCK_PARTS, tail: parts}
    if tail == "mlp/w1/weight":
        table["mlp/w3/weight"] = ("mlp.gate_proj",)
    monkeypatch.setattr(weights, "_BLOCK_PARTS", table)
    assert logit_error() > 4 * TOLERANCE


def test_the_permutation_is_the_documented_one() -> None:
    rows = np.arange(16, dtype=np.float32).reshape(16, 1)  # two heads of eight
    expected = [0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15]
    assert interleave_halves(rows, 2).reshape(-1).tolist() == expected
    assert np.array_equal(split_pairs(interleave_halves(rows, 2), 2), rows)


def shapes(root: str = "Llama", block: str = "blocks/", fused: bool = False, tied: bool = True) -> dict[str, list[int]]:
    found = {f"{root}/fc/weight": [1, 1, VOCAB, HIDDEN], f"{root}/ln_fc/gamma": [1, 1, 1, HIDDEN]}
    if not tied:
        found[f"{root}/tok_emb/weight"] = [1, 1, VOCAB, HIDDEN]
    for index in range(2):
        at = f"{root}/{block}{index}"
        found |= {f"{at}/attention_norm/gamma": [1, 1, 1, HIDDEN], f"{at}/mlp_norm/gamma": [1, 1, 1, HIDDEN]}
        found |= {
            f"{at}/attention/out_linear/weight": [1, 1, HIDDEN, HIDDEN],
            f"{at}/mlp/w2/weight": [1, 1, HIDDEN, MLP],
        }
        if fused:
            found[f"{at}/attention/qkv_linear/weight"] = [1, 1, HIDDEN + 2 * KV, HIDDEN]
            found[f"{at}/mlp/w_gate_up/weight"] = [1, 1, 2 * MLP, HIDDEN]
        else:
            found[f"{at}/attention/q_linear/weight"] = [1, 1, HIDDEN, HIDDEN]
            found[f"{at}/attention/kv_linear/weight"] = [1, 1, 2 * KV, HIDDEN]
            found |= {f"{at}/mlp/w1/weight": [1, 1, MLP, HIDDEN], f"{at}/mlp/w3/weight": [1, 1, MLP, HIDDEN]}
    return found


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(("root", "block"), [("Llama", "blocks/"), ("llama", "llama_block_")])
def test_there_and_back_is_exact(root: str, block: str, fused: bool) -> None:
    layout = TtmlLayout(MODEL, shapes(root, block, fused))
    weights = telling_weights(MODEL)
    arrays = layout.to_ttml(weights)
    assert {name: list(array.shape) for name, array in arrays.items()} == shapes(root, block, fused)
    assert all(array.flags.c_contiguous and array.flags.writeable for array in arrays.values())
    back = layout.from_ttml(arrays)
    assert list(back) == list(weights)
    assert all(np.array_equal(back[name], weights[name]) for name in weights)


def test_a_fused_layout_holds_the_rows_of_the_split_one() -> None:
    weights = telling_weights(MODEL)
    split = TtmlLayout(MODEL, shapes()).to_ttml(weights)
    fused = TtmlLayout(MODEL, shapes(fused=True)).to_ttml(weights)
    at = "Llama/blocks/1"
    stacked = np.concatenate([split[f"{at}/attention/q_linear/weight"], split[f"{at}/attention/kv_linear/weight"]], 2)
    assert np.array_equal(fused[f"{at}/attention/qkv_linear/weight"], stacked)
    both = np.concatenate([split[f"{at}/mlp/w1/weight"], split[f"{at}/mlp/w3/weight"]], 2)
    assert np.array_equal(fused[f"{at}/mlp/w_gate_up/weight"], both)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda found: found.update({"Llama/blocks/0/attention/new_thing/weight": [1, 1, 8, 8]}), "new_thing"),
        (lambda found: found.pop("Llama/blocks/1/mlp/w3/weight"), "up_proj.weight is in 0"),
        (lambda found: found.update({"Llama/blocks/0/attention/kv_linear/weight": [1, 1, 9, 8]}), r"\[1, 1, 9, 8\]"),
        (lambda found: found.update({"Llama/blocks/7/mlp/w2/weight": [1, 1, 128, 96]}), "layers.7"),
        (lambda found: found.update({"Llama/tok_emb/weight": [1, 1, 64, 128]}), "two tensors"),
    ],
)  # fmt: skip
def test_a_layout_that_is_not_known_is_refused(change: Callable[[dict[str, list[int]]], Any], says: str) -> None:
    found = shapes()
    change(found)
    with pytest.raises(TricksterError, match=says) as refused:
        TtmlLayout(MODEL, found)
    assert refused.value.code == "ttml-layout"


def test_rounding_is_to_the_nearest_even() -> None:
    import torch

    values = np.random.default_rng(0).normal(0, 1, 4096).astype(np.float32)
    values[:4] = [1 + 2**-8, 1 + 3 * 2**-8, np.inf, -0.0]
    expected = torch.from_numpy(values).to(torch.bfloat16).float().numpy()
    assert np.array_equal(round_to_bf16(values), expected)
