"""The double refuses what the real ttml refuses, as far as is documented: without this the other tests prove little."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest


@contextmanager
def device(ttml: Any, shape: list[int] | None = None) -> Iterator[Any]:
    context = ttml.autograd.AutoContext.get_instance()
    context.open_device(shape)
    try:
        yield context
    finally:
        context.close_device()


def small_llama(ttml: Any, cpp: bool = False) -> Any:
    module = ttml.models.llama
    if cpp:
        config = module.CppLlamaConfig()
        config.embedding_dim, config.num_heads, config.num_groups, config.intermediate_dim = 64, 2, 1, 64
        config.num_blocks, config.vocab_size, config.max_sequence_length, config.dropout_prob = 1, 32, 64, 0.0
        return module.create_cpp_llama_model(config)
    return module.Llama(
        module.LlamaConfig(
            hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1,
            vocab_size=32, max_position_embeddings=64,
        )
    )  # fmt: skip


def ids(ttml: Any, tokens: np.ndarray) -> Any:
    ttnn = sys.modules["ttnn"]
    array = np.ascontiguousarray(tokens.astype(np.uint32))
    return ttml.autograd.Tensor.from_numpy(array, layout=ttnn.Layout.ROW_MAJOR, new_type=ttnn.DataType.UINT32)


def loss_of(ttml: Any, model: Any, length: int = 32) -> Any:
    tokens = np.arange(length).reshape(1, 1, 1, length) % 32
    return ttml.ops.loss.cross_entropy_loss(model(ids(ttml, tokens), None), ids(ttml, tokens[0, 0]))


def test_uploads(double: Callable[..., Any]) -> None:
    ttml = double()
    upload = ttml.autograd.Tensor.from_numpy
    with device(ttml):
        for wrong in (np.zeros((1, 2)), np.zeros((1, 2), np.int64)):
            with pytest.raises(RuntimeError, match="Unsupported precision"):
                upload(wrong)
        with pytest.raises(TypeError):
            upload(np.zeros((1, 2), bool))
        with pytest.raises(RuntimeError, match="wrong order"):
            upload(np.zeros((4, 6), np.float32).T)
        with pytest.raises(RuntimeError, match="too small"):
            upload(np.zeros((0, 4), np.float32))
        tensor = upload(
            numpy_tensor=np.full((1, 1, 2, 2), 1.003, np.float32),
            new_type=sys.modules["ttnn"].DataType.BFLOAT16,
        )
        assert tensor.shape() == [1, 1, 2, 2]
        assert tensor.to_numpy(sys.modules["ttnn"].DataType.FLOAT32).tolist() == [[[[1.0, 1.0], [1.0, 1.0]]]]
        with pytest.raises(TypeError):
            tensor / tensor
        with pytest.raises(RuntimeError, match="assign of shape"):
            tensor.assign(upload(np.zeros((1, 1, 2, 4), np.float32)))


def test_nothing_lives_without_a_device(double: Callable[..., Any]) -> None:
    ttml = double()
    with pytest.raises(RuntimeError, match="no device is open"):
        ttml.autograd.Tensor.from_numpy(np.zeros((1, 2), np.float32))
    with device(ttml) as context:
        with pytest.raises(RuntimeError, match="after the device was created"):
            context.open_device()
        with pytest.raises(RuntimeError, match="2 integers"):
            type(context)().open_device([1])
    with pytest.raises(RuntimeError, match="no device is open"):
        small_llama(ttml)


def test_the_device_of_another_process_cannot_be_opened(
    double: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    if sys.platform == "win32":
        pytest.skip("locks of POSIX")
    import fcntl

    monkeypatch.setenv("TTML_DOUBLE_BOARD", str(tmp_path / "board"))
    (tmp_path / "board").mkdir()
    with (tmp_path / "board" / "lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ttml = double()
        with pytest.raises(RuntimeError, match="another process holds the device"):
            ttml.autograd.AutoContext.get_instance().open_device()


def test_shapes_of_tokens(double: Callable[..., Any]) -> None:
    ttml = double()
    ttnn = sys.modules["ttnn"]
    with device(ttml):
        model = small_llama(ttml)
        tokens = np.zeros((1, 1, 1, 32))
        with pytest.raises(RuntimeError, match=r"\[B, 1, 1, T\]"):
            model(ids(ttml, tokens[0]), None)
        with pytest.raises(RuntimeError, match="uint32"):
            model(ttml.autograd.Tensor.from_numpy(tokens.astype(np.int32), ttnn.Layout.ROW_MAJOR), None)
        with pytest.raises(RuntimeError, match="out of range"):
            model(ids(ttml, tokens + 32), None)
        logits = model(ids(ttml, tokens), None)
        assert logits.shape() == [1, 1, 32, 32]
        with pytest.raises(RuntimeError, match="targets of shape"):
            ttml.ops.loss.cross_entropy_loss(logits, ids(ttml, tokens))


def test_backward(double: Callable[..., Any]) -> None:
    ttml = double()
    with device(ttml) as context:
        model = small_llama(ttml)
        loss = loss_of(ttml, model)
        with pytest.raises(TypeError):
            loss.backward()
        value = float(loss.get_value().item())
        assert value * 2**6 == int(value * 2**6)  # between 2 and 4 bfloat16 comes in 64ths
        loss.backward(False)
        with pytest.raises(RuntimeError, match="released"):
            loss.backward(False)
        context.reset_graph()
        with pytest.raises(RuntimeError, match="no associated gradient"):
            loss.backward(False)
        with pytest.raises(RuntimeError, match="u_scaler shape mismatch"):
            loss_of(ttml, model, length=31).backward(False)


def test_gradients_add_up_until_they_are_zeroed(double: Callable[..., Any]) -> None:
    ttml = double()
    ttnn = sys.modules["ttnn"]
    with device(ttml) as context:
        model = small_llama(ttml)
        optimizer = ttml.optimizers.AdamW(
            model.parameters(), ttml.optimizers.AdamWConfig.make(1e-3, 0.9, 0.95, 1e-8, 0.0)
        )
        weight = model.parameters()["Llama/fc/weight"]

        def gradient() -> np.ndarray:
            loss_of(ttml, model).backward(False)
            context.reset_graph()
            found: np.ndarray = weight.get_grad_tensor().to_numpy(ttnn.DataType.FLOAT32)
            return found

        assert weight.get_grad_tensor() is None
        once = gradient()
        np.testing.assert_allclose(gradient(), 2 * once, rtol=0.02, atol=1e-5)
        optimizer.zero_grad()
        np.testing.assert_allclose(gradient(), once, rtol=0.02, atol=1e-5)


def test_a_graph_that_is_never_reset_runs_out_of_memory(double: Callable[..., Any]) -> None:
    ttml = double(graph_limit=60)
    with device(ttml) as context:
        model = small_llama(ttml)
        with pytest.raises(RuntimeError, match="never reset"):
            for _ in range(10):
                loss_of(ttml, model)
        context.reset_graph()
        context.set_gradient_mode(ttml.autograd.GradMode.DISABLED)
        for _ in range(10):
            loss_of(ttml, model)
        assert context.nodes == 0
        context.set_gradient_mode(ttml.autograd.GradMode.ENABLED)


def test_parameters_are_an_opaque_mapping_in_no_order(double: Callable[..., Any]) -> None:
    ttml = double()
    with device(ttml):
        parameters = small_llama(ttml).parameters()
        assert not isinstance(parameters, dict)
        names = [name for name, _ in parameters.items()]
        assert names != sorted(names)
        assert all(name.startswith("Llama/") for name in names)
        assert "Llama/tok_emb/weight" in names  # untied is the Python model's default


def test_the_cpp_model(double: Callable[..., Any]) -> None:
    ttml = double(python_llama=False, fused_qkv=False)
    with device(ttml):
        model = small_llama(ttml, cpp=True)
        names = [name for name, _ in model.parameters().items()]
        assert "llama/llama_block_0/attention/kv_linear/weight" in names
        assert "llama/tok_emb/weight" not in names  # tied is the C++ model's default
        with pytest.raises(TypeError):
            model(ids(ttml, np.zeros((1, 1, 1, 32))), None)


def test_sizes_that_the_real_one_refuses(double: Callable[..., Any]) -> None:
    ttml = double()
    config = ttml.models.llama.LlamaConfig
    with device(ttml):
        for wrong in ({"max_position_embeddings": 100}, {"hidden_size": 100}, {"num_key_value_heads": 4}):
            with pytest.raises(ValueError, match="divisible"):
                ttml.models.llama.Llama(config(**wrong))
        with pytest.raises(RuntimeError, match="head_dim 16"):
            ttml.models.llama.Llama(config(hidden_size=128, num_attention_heads=8, num_key_value_heads=8))


def test_small_updates_are_lost_in_bfloat16(double: Callable[..., Any]) -> None:
    ttml = double()
    ttnn = sys.modules["ttnn"]
    with device(ttml) as context:
        for stochastic in (False, True):
            model = small_llama(ttml)
            config = ttml.optimizers.AdamWConfig.make(3e-4, 0.9, 0.95, 1e-8, 0.0, stochastic_rounding=stochastic)
            optimizer = ttml.optimizers.AdamW(model.parameters(), config)
            for _ in range(20):
                optimizer.zero_grad()
                loss_of(ttml, model).backward(False)
                context.reset_graph()
                optimizer.step()
            gamma = model.parameters()["Llama/ln_fc/gamma"].to_numpy(ttnn.DataType.FLOAT32)
            assert bool((gamma != 1).any()) == stochastic


@pytest.mark.parametrize(
    ("variant", "holder", "name"),
    [
        ({"clip_grad_norm": False}, "core", "clip_grad_norm"),
        ({"open_device_mesh": False}, None, "open_device_mesh"),
        ({"full_precision": False}, "optimizers", "AdamWFullPrecision"),
        ({"muon": ""}, "optimizers", "Muon"),
        ({"auto_context": False}, "autograd", "AutoContext"),
    ],
)
def test_features_can_be_taken_away_one_by_one(
    double: Callable[..., Any], variant: dict[str, Any], holder: str | None, name: str
) -> None:
    with_it, without = double(), double(**variant)
    assert hasattr(getattr(with_it, holder) if holder else with_it, name)
    assert not hasattr(getattr(without, holder) if holder else without, name)


def test_it_says_what_it_is(double: Callable[..., Any]) -> None:
    ttml = double()
    assert "no simulator and says nothing about silicon" in " ".join((ttml.__doc__ or "").split())


def test_packed_swiglu_wants_halves_of_whole_tiles(double: Callable[..., Any]) -> None:
    ttml = double()
    with device(ttml):
        packed = ttml.autograd.Tensor.from_numpy(np.zeros((1, 1, 32, 96), dtype=np.float32))
        with pytest.raises(RuntimeError, match="multiple of 32"):
            ttml.ops.swiglu_packed.swiglu_packed(packed)
