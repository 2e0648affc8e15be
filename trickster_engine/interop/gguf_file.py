"""A model as one GGUF file, for llama.cpp and what is built on it; written and read back with PyPI's `gguf`.

llama.cpp rotates neighbouring pairs where Hugging Face rotates half a head apart, so the rows of queries and keys
change places. One-dimensional weights stay in fp32, as llama.cpp expects them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trickster_engine.config.plan import ModelConfig
from trickster_engine.data.tokenizer import Tokenizer
from trickster_engine.errors import TricksterError
from trickster_engine.interop.export_source import Predict, Source, Weights, package, predictor, rounded
from trickster_engine.interop.gguf import NEVER

REQUIREMENT = "gguf>=0.17,<1"
_BLOCK = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_WHOLE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def write(source: Source, target: Path, precision: str) -> tuple[Predict, Weights]:
    """Write a GGUF file and return what it predicts, read back, and the numbers that it should hold."""
    gguf = package("gguf", REQUIREMENT, "A GGUF file")
    config, tokenizer = source.config, source.tokenizer
    if tokenizer.kind not in ("byte", "bpe"):
        raise TricksterError(
            "export-not-possible",
            f"The model has a {'char' if tokenizer.kind == 'char' else 'foreign'} tokenizer, and Trickster knows no "
            "equivalent of it in llama.cpp.",
            "Train with data_config.tokenizer: byte or bpe. llama.cpp's own converter knows many foreign ones: "
            f"python convert_hf_to_gguf.py {source.folder}",
        )
    stored = {name: array if array.ndim < 2 else rounded(array, precision) for name, array in source.weights.items()}
    kinds = {"fp32": "F32", "bf16": "BF16", "fp16": "F16"}
    kind = gguf.GGMLQuantizationType[kinds[precision]]
    writer = gguf.GGUFWriter(target, "llama")
    _describe(writer, config, source.folder.resolve().parent.name or "trickster")
    writer.add_file_type(gguf.LlamaFileType[{"fp32": "ALL_F32"}.get(precision, f"MOSTLY_{kinds[precision]}")])
    _describe_tokenizer(writer, gguf, tokenizer, config.vocab_size)
    for name, theirs in _names(config):
        array = _pairs_side_by_side(stored[name], _heads(name, config))
        if array.ndim < 2 or precision == "fp32":
            writer.add_tensor(theirs, np.ascontiguousarray(array))
        else:
            writer.add_tensor(theirs, gguf.quants.quantize(np.ascontiguousarray(array), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return predictor(config, _read_back(gguf, target, config)), stored


def _describe(writer: Any, config: ModelConfig, name: str) -> None:
    writer.add_name(name)
    writer.add_context_length(config.max_seq_len)
    writer.add_embedding_length(config.hidden_dim)
    writer.add_block_count(config.num_layers)
    writer.add_feed_forward_length(config.mlp_dim)
    writer.add_head_count(config.num_heads)
    writer.add_head_count_kv(config.num_kv_heads)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(config.vocab_size)


def _describe_tokenizer(writer: Any, gguf: Any, tokenizer: Tokenizer, vocab_size: int) -> None:
    """Byte-level BPE with GPT-2's way of cutting words; ids that the tokenizer does not have are marked as unused."""
    types = gguf.TokenType
    spelt = [tokenizer.library.id_to_token(index) for index in range(vocab_size)]
    special = set(tokenizer.special_tokens.values())
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([f"[PAD{index}]" if token is None else token for index, token in enumerate(spelt)])
    writer.add_token_types(
        [types.UNUSED if token is None else types.CONTROL if token in special else types.NORMAL for token in spelt]
    )
    merges = json.loads(tokenizer.library.to_str())["model"]["merges"]
    pairs = [pair if isinstance(pair, str) else " ".join(pair) for pair in merges]
    # llama.cpp asks for one merge at least; of the byte tokenizer it is one that never applies.
    writer.add_token_merges(pairs or [f"{NEVER} {NEVER}"])
    # Without an end-of-text token, llama.cpp takes number 11 for one, which is the comma.
    writer.add_eos_token_id(tokenizer.special_ids.get("eos_token_id", tokenizer.library.token_to_id(NEVER)))
    writer.add_add_bos_token(tokenizer.begin_id is not None)
    if tokenizer.begin_id is not None:
        writer.add_bos_token_id(tokenizer.begin_id)
    writer.add_add_space_prefix(False)


def _names(config: ModelConfig) -> Iterator[tuple[str, str]]:
    """Our name and theirs of every weight."""
    for ours, theirs in _WHOLE.items():
        if ours != "lm_head" or not config.tie_embeddings:
            yield f"{ours}.weight", f"{theirs}.weight"
    for layer in range(config.num_layers):
        for ours, theirs in _BLOCK.items():
            yield f"model.layers.{layer}.{ours}.weight", f"blk.{layer}.{theirs}.weight"


def _heads(name: str, config: ModelConfig) -> int:
    """How many heads a weight's rows are of, where they are rotated; else 0."""
    return config.num_heads if ".q_proj." in name else config.num_kv_heads if ".k_proj." in name else 0


def _pairs_side_by_side(array: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Rows (half, pair) of each head as (pair, half)."""
    if not heads:
        return array
    moved: NDArray[np.float32] = array.reshape(heads, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
    return moved


def _halves_apart(array: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """The way back."""
    if not heads:
        return array
    moved: NDArray[np.float32] = array.reshape(heads, -1, 2, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
    return moved


def _read_back(gguf: Any, path: Path, config: ModelConfig) -> Weights:
    reader = gguf.GGUFReader(path)
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    weights: dict[str, NDArray[np.float32]] = {}
    for name, theirs in _names(config):
        tensor = tensors[theirs]
        shape = tuple(int(size) for size in reversed(tensor.shape))
        numbers = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape(shape)
        weights[name] = _halves_apart(numbers, _heads(name, config))
    return weights
