"""A checkpoint is a Hugging Face Llama: the same logits, the same text, the same tokens."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

os.environ.setdefault("HF_HUB_OFFLINE", "1")
from transformers import AutoTokenizer, LlamaForCausalLM

from tests.engine.conftest import dialogue
from tests.refusals import refused
from trickster_engine.config.plan import ModelConfig
from trickster_engine.config.shapes import weight_shapes
from trickster_engine.data.make_tokenizer import byte_tokenizer, char_tokenizer
from trickster_engine.errors import TricksterError
from trickster_engine.inference.sampling import SamplingOptions, generate
from trickster_engine.model.huggingface import read_model, write_model
from trickster_engine.model.llama import Llama

SHAPES = {
    "multi-head, tied": {"num_kv_heads": 4, "tie_embeddings": True},
    "multi-head, untied": {"num_kv_heads": 4, "tie_embeddings": False},
    "grouped, tied": {"num_kv_heads": 2, "tie_embeddings": True},
    "grouped, untied": {"num_kv_heads": 1, "tie_embeddings": False},
}


def small(**changes: object) -> ModelConfig:
    values = {
        "vocab_size": 256,
        "hidden_dim": 64,
        "num_layers": 3,
        "num_heads": 4,
        "num_kv_heads": 4,
        "mlp_dim": 96,
        "max_seq_len": 256,
        "dropout": 0.0,
        "rope_theta": 5000.0,
        "norm_eps": 1e-5,
        **changes,
    }
    return ModelConfig(**values)  # type: ignore[arg-type]


def trained(config: ModelConfig) -> Llama:
    """A model that has taken a few steps, so that its weights are not those of the initialisation."""
    model = Llama(config).initialize(3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    tokens = torch.from_numpy(np.frombuffer(dialogue(16 * 65).encode(), dtype=np.uint8).astype(np.int64)).view(16, 65)
    for _ in range(30):
        logits = model(tokens[:, :-1])
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def as_arrays(model: Llama) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("is_trained", [False, True], ids=["random", "trained"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_transformers_reads_the_same_model(tmp_path: Path, shape: str, is_trained: bool) -> None:
    config = small(**SHAPES[shape])
    model = trained(config) if is_trained else Llama(config).initialize(1).eval()
    write_model(tmp_path, config, as_arrays(model))
    byte_tokenizer().save(tmp_path)
    theirs = LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()

    tokens = torch.randint(0, 256, (2, 200), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        difference = (model(tokens) - theirs(tokens).logits).abs().max().item()
    assert difference < 1e-4

    prompt = [int(i) for i in byte_tokenizer().encode("ROMEO:")]
    ours = [int(i[0]) for i in generate(model, [prompt], SamplingOptions(max_new_tokens=200, temperature=0))]
    answer = theirs.generate(torch.tensor([prompt]), max_new_tokens=200, do_sample=False, pad_token_id=0)
    assert ours == answer[0, len(prompt) :].tolist()


def test_the_state_dict_has_the_canonical_names_and_shapes() -> None:
    for shape in SHAPES.values():
        config = small(**shape)
        found = {name: tuple(tensor.shape) for name, tensor in Llama(config).state_dict().items()}
        assert found == weight_shapes(config)


@pytest.mark.parametrize("kind", ["byte", "char"])
def test_auto_tokenizer_round_trips_the_corpus(tmp_path: Path, kind: str) -> None:
    folder = os.environ.get("TRICKSTER_CORPUS_DIR")
    text = (Path(folder) / "tinyshakespeare.txt").read_text("utf-8") if folder else dialogue(100_000)
    tokenizer = byte_tokenizer() if kind == "byte" else char_tokenizer(text)
    write_model(tmp_path, small(), as_arrays(Llama(small())))
    tokenizer.save(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    ids = theirs(text, add_special_tokens=False)["input_ids"]
    assert np.array_equal(ids, tokenizer.encode(text))
    assert theirs.decode(ids) == text


def test_reading_gives_back_what_was_written(tmp_path: Path) -> None:
    config = small(num_kv_heads=2, tie_embeddings=False)
    weights = as_arrays(Llama(config).initialize(5))
    write_model(tmp_path, config, weights)
    again_config, again = read_model(tmp_path)
    assert again_config == config
    assert all(np.array_equal(weights[name], again[name]) for name in weights)


def test_a_checkpoint_of_another_shape_is_refused(tmp_path: Path) -> None:
    config = small()
    write_model(tmp_path, config, as_arrays(Llama(small(hidden_dim=32))))
    with pytest.raises(TricksterError) as caught:
        read_model(tmp_path)
    assert caught.value.code == "checkpoint-shape"
    assert "embed_tokens" in caught.value.message


def test_an_extra_weight_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path, small(), as_arrays(Llama(small())))
    weights = load_file(tmp_path / "model.safetensors")
    save_file({**weights, "model.extra.weight": np.zeros(3, np.float32)}, tmp_path / "model.safetensors")
    with refused("checkpoint-shape", "model.extra.weight"):
        read_model(tmp_path)


def test_a_pickle_posing_as_weights_is_refused_and_not_run(tmp_path: Path) -> None:
    import pickle

    marker = tmp_path / "was-run"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (os.mkdir, (str(marker),))

    write_model(tmp_path, small(), as_arrays(Llama(small())))
    (tmp_path / "model.safetensors").write_bytes(pickle.dumps({"weights": Evil()}))
    with pytest.raises(TricksterError) as caught:
        read_model(tmp_path)
    assert caught.value.code == "checkpoint-damaged"
    assert not marker.exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"vocab_size": "many"}', '{"hidden_size": 4}'], ids=repr)
def test_a_damaged_config_is_refused(tmp_path: Path, content: str) -> None:
    write_model(tmp_path, small(), as_arrays(Llama(small())))
    (tmp_path / "config.json").write_text(content)
    with refused("checkpoint-damaged"):
        read_model(tmp_path)


def test_config_json_says_what_transformers_needs(tmp_path: Path) -> None:
    write_model(tmp_path, small(), as_arrays(Llama(small())))
    values = json.loads((tmp_path / "config.json").read_text())
    assert values["architectures"] == ["LlamaForCausalLM"]
    assert values["rope_theta"] == 5000.0


def test_a_model_in_several_files_is_the_same_model(tmp_path: Path) -> None:
    """Above a size the weights lie in several files with an index; we and `transformers` read them as one."""
    from transformers import LlamaForCausalLM

    from trickster_engine.model.stored_arrays import save_arrays

    model = Llama(small()).initialize(3)
    weights = as_arrays(model)
    write_model(tmp_path, small(), weights)
    (tmp_path / "model.safetensors").unlink()
    save_arrays(tmp_path, "model", weights, {"format": "pt"}, max_file_bytes=10_000)
    files = sorted(path.name for path in tmp_path.glob("model-*.safetensors"))
    assert len(files) > 2
    assert files[0] == f"model-00001-of-{len(files):05d}.safetensors"
    _, again = read_model(tmp_path)
    assert again.keys() == weights.keys()
    assert all(np.array_equal(again[name], weights[name]) for name in weights)
    theirs = LlamaForCausalLM.from_pretrained(tmp_path).state_dict()
    assert all(np.array_equal(theirs[name].numpy(), weights[name]) for name in weights)
    (tmp_path / files[1]).unlink()
    with refused("checkpoint-missing", files[1]):
        read_model(tmp_path)
