"""Every name of ttml and ttnn that `backends/ttml/` touches, and why we believe that it is there.

    python -m tools.ttml_names > docs/ttml-names.md

writes the page. A test reads the names out of the code and fails when one is not in this list.
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from trickster_engine.backends import ttml
from trickster_engine.config.plan import ModelConfig, TrainingConfig

_CONFIGS = (ModelConfig, TrainingConfig)

#: The files that touch them.
FILES = [Path(ttml.__file__).parent / f"{name}.py" for name in ("device", "tensors", "model", "optimizers")]


class Name(NamedTuple):
    """A name that the backend touches. `optional`: looked for first, and done without where it is missing."""

    name: str
    evidence: str  # a mark, and where it was seen
    use: str
    optional: bool = False


# S: read in tt-metal's source. W: asked of ttnn's wheel. U: seen in use on a board by an outside project. M: said by
# maintainers.
_AUTOGRAD = "S nb_autograd.cpp"
_CONTEXT = "S auto_context.cpp"
_CORE = "S nb_core.cpp"
_OPS = "S nb_ops.cpp"
_OPTIMIZERS = "S nb_optimizers.cpp"
_MODELS = "S nb_models.cpp"
_LLAMA = "S models/llama/__init__.py"
_MESH = "S _mesh.py"
_STATE = "S checkpointing.py, adamw.cpp"
_VIEWS = "S autocast_tensor.cpp"
_WHEEL = "W ttnn 0.81.1"
_TNT = "U tt-nanollama3"

#: What the evidence stands in: the short name, the whole one, and the newest that was read of it.
SOURCES: tuple[tuple[str, str, str], ...] = (
    ("ttnn 0.81.1", "the wheel, asked by `tests/engine/ttml/test_real_ttnn.py`", "2026-10-23"),
    ("tt-nanollama3", "tsingletaryTT/tt-nanollama3, trained on p300c and QuietBox 2", "2026-08-21, da0fbb6214"),
    ("autocast_tensor.cpp", "tt-train/sources/ttml/autograd", "November 2026; 013b217398"),
    ("adamw.cpp, muon.cpp", "tt-train/sources/ttml/optimizers", "013b217398, autumn 2026"),
    (
        "models/llama/__init__.py",
        "tt-train/sources/ttml/ttml; gqattn.py and transformer.py beside it",
        "autumn 2026, 435ab02ea6 (the branch of PR #52820)",
    ),
    ("_mesh.py", "tt-train/sources/ttml/ttml", "mid-2026 (insists on RING); November 2026 (does not)"),
    ("checkpointing.py", "tt-train/sources/ttml/ttml", "August 2026, v0.77"),
    ("nb_autograd.cpp", "tt-train/sources/ttml/nanobind", "January 2026"),
    ("nb_optimizers.cpp", "tt-train/sources/ttml/nanobind", "spring 2026"),
    ("nb_core.cpp, nb_models.cpp, nb_ops.cpp", "tt-train/sources/ttml/nanobind", "spring 2026"),
    ("auto_context.cpp, distributed.cpp", "tt-train/sources/ttml", "spring 2026"),
    ("utils.py", "tt-train/sources/ttml/ttml/common", "spring 2026"),
    ("module_base.py, parameter.py", "tt-train/sources/ttml/ttml/modules", "mid-2026"),
)

#: Found in tt-nanollama3 at da0fbb6214, which trained with them on builds of August 2026, v0.77 among them.
USED_LATELY = frozenset((
    "ttml.autograd", "ttml.autograd.AutoContext", "ttml.NamedParameters", "ttnn.Layout", "ttnn.Layout.TILE",
    "ttnn.DataType", "ttnn.DataType.BFLOAT16", "ttnn.DataType.FLOAT32", "ttnn.clone", "AutoContext.get_instance",
    "AutoContext.open_device", "AutoContext.close_device", "AutoContext.get_device", "AutoContext.set_seed",
    "AutoContext.reset_graph", "AutoContext.initialize_parallelism_context",
    "AutoContext.is_parallelism_context_initialized", "AutoContext.get_parallelism_context",
    "ttml.autograd.DistributedConfig", "ParallelismContext.is_ddp_enabled", "ParallelismContext.get_ddp_size",
    "ttml.open_device_mesh", "ttml.close_device_mesh", "ttml.Mesh", "ttml.core.distributed",
    "ttml.core.distributed.enable_fabric", "ttml.core.distributed.shard_tensor_to_mesh_mapper",
    "ttml.core.distributed.concat_mesh_to_tensor_composer", "ttml.core.distributed.synchronize_gradients",
    "ttml.autograd.Tensor", "Tensor.from_numpy", "Tensor.to_numpy", "Tensor.assign", "Tensor.get_value",
    "ttml.autograd.PreferredPrecision", "Tensor.backward", "ttml.ops.loss.cross_entropy_loss",
    "ttml.ops.ReduceType.MEAN", "ttml.models.llama.Llama", "ttml.models.llama.LlamaConfig",
    "LlamaConfig.num_key_value_heads", "LlamaConfig.max_position_embeddings", "LlamaConfig.weight_tying",
    "ttml.models.llama.CppLlamaConfig", "ttml.models.llama.create_cpp_llama_model", "ttml.models.WeightTyingType",
    "ttml.optimizers.AdamW", "ttml.optimizers.AdamWFullPrecision", "Optimizer.set_lr", "Optimizer.get_state_dict",
    "PreferredPrecision.NATIVE",
))  # fmt: skip

#: Names of later builds that Trickster does without, and why.
LEFT_ALONE: tuple[tuple[str, str], ...] = (
    ("`Tensor.to_numpy(precision=)`", "reading through a fresh tensor does the same in every build"),
    ("`ttml.checkpointing`", "checkpoints are Hugging Face directories, the same for every device"),
    ("`ttml.sync_gradients`", "`synchronize_gradients` is in every build, and is asserted to act"),
    ("`disable_fabric`, `tp_strategy`, lazy init, LoRA, FSDP, `SFTTrainer`", "nothing here needs them"),
)

NAMES: tuple[Name, ...] = (
    # package
    Name("ttml.autograd", _AUTOGRAD, "tensors and the device"),
    Name("ttml.autograd.AutoContext", _AUTOGRAD, "identity of the package; the device"),
    Name("ttml.NamedParameters", f"{_STATE}; {_TNT} train/model.py", "optimizer state; which weights Muon trains"),
    Name("NamedParameters.items", f"{_STATE}", "weights and optimizer state"),
    Name("ttnn.Layout", f"{_WHEEL}; M ttml.Layout before v0.66", "ROW_MAJOR for tokens, TILE for weights"),
    Name("ttnn.Layout.TILE", _WHEEL, "weights and masks"),
    Name("ttnn.Layout.ROW_MAJOR", _WHEEL, "tokens and targets"),
    Name("ttnn.DataType", f"{_WHEEL}; M ttml.autograd.DataType before v0.66", "types of tensors"),
    Name("ttnn.DataType.BFLOAT16", _WHEEL, "weights"),
    Name("ttnn.DataType.FLOAT32", _WHEEL, "reading; memory of AdamW in full precision"),
    Name("ttnn.DataType.UINT32", _WHEEL, "tokens and targets"),
    Name("ttnn.get_arch_name", _WHEEL, "the device in words", True),
    Name("ttnn.clone", _WHEEL, "a mask of its own for each inference (C++ model)"),
    # context
    Name("AutoContext.get_instance", _AUTOGRAD, "the device"),
    Name("AutoContext.open_device", f"{_AUTOGRAD}: (mesh_shape=None, device_ids=None)", "where there is no mesh API"),
    Name("AutoContext.close_device", _AUTOGRAD, "always, in a finally"),
    Name("AutoContext.get_device", _AUTOGRAD, "mappers and composers of a mesh"),
    Name("AutoContext.set_seed", f"{_AUTOGRAD}: uint32", "dropout and stochastic rounding"),
    Name("AutoContext.reset_graph", _AUTOGRAD, "after every backward and every inference"),
    Name("AutoContext.set_gradient_mode", f"{_AUTOGRAD}; S utils.py no_grad", "evaluation"),
    Name("ttml.autograd.GradMode", "S utils.py no_grad", "evaluation"),
    Name("GradMode.ENABLED", "S utils.py no_grad", "after an evaluation"),
    Name("GradMode.DISABLED", "S utils.py no_grad", "in an evaluation"),
    Name("AutoContext.initialize_parallelism_context", f"{_CONTEXT}; {_TNT} train/run.py", "data parallel", True),
    Name("AutoContext.is_parallelism_context_initialized", f"{_CONTEXT}; {_TNT} train/run.py", "data parallel"),
    Name("AutoContext.get_parallelism_context", f"{_CONTEXT}; {_TNT} train/run.py", "data parallel"),
    Name("ttml.autograd.DistributedConfig", f"{_TNT} train/run.py: (enable_ddp, enable_tp)", "data parallel"),
    Name("ParallelismContext.is_ddp_enabled", f"{_TNT} train/run.py", "asserted before training"),
    Name("ParallelismContext.get_ddp_size", f"{_CONTEXT}; {_TNT} train/run.py", "asserted before training"),
    Name("ttml.open_device_mesh", f"{_MESH}: (mesh, device_ids=None)", "opening, where there is one", True),
    Name("ttml.close_device_mesh", f"{_MESH}; {_TNT} train/run.py", "closing", True),
    Name("ttml.Mesh", f"{_MESH}: (shape, axis_names)", "a line of chips with an axis called dp", True),
    Name("ttml.core", _CORE, "clipping; meshes"),
    Name("ttml.core.distributed", _CORE, "meshes"),
    Name("ttml.core.distributed.enable_fabric", _CORE, "before several chips are opened without the mesh API"),
    Name("ttml.core.distributed.shard_tensor_to_mesh_mapper", f"{_CORE}: (device, dim)", "dealing a batch"),
    Name("ttml.core.distributed.concat_mesh_to_tensor_composer", f"{_CORE}: (mesh_device, dim)", "reading back"),
    Name("ttml.core.distributed.synchronize_gradients", "S distributed.cpp", "averaging"),
    Name(
        "ttml.core.clip_grad_norm",
        f"{_CORE}; returns the norm before clipping: S ttnn moreh_clip_grad_norm.hpp",
        "clipping, and the norm; refused without it unless grad_clip is 0",
        True,
    ),
    # tensors
    Name("ttml.autograd.Tensor", f"{_AUTOGRAD}: (ttnn tensor, requires_grad)", "everything"),
    Name("Tensor.from_numpy", f"{_AUTOGRAD}: (numpy_tensor, layout, new_type, mapper)", "to the device"),
    Name("Tensor.to_numpy", f"{_AUTOGRAD}: (new_type, composer)", "to the host"),
    Name("Tensor.assign", _AUTOGRAD, "weights in"),
    Name("Tensor.shape", f"{_AUTOGRAD}: a method", "the layout of the model"),
    Name("Tensor.get_value", f"{_AUTOGRAD}: (precision=HALF)", "the stored value: reading it is never stale"),
    Name("ttml.autograd.PreferredPrecision", _AUTOGRAD, "reading what is stored, not a view of it"),
    Name("PreferredPrecision.NATIVE", _VIEWS, "as it is stored", True),
    Name("PreferredPrecision.HALF", _VIEWS, "weights, where there is no NATIVE"),
    Name("PreferredPrecision.FULL", _VIEWS, "memory of AdamW in full precision, where there is no NATIVE"),
    Name("ttnn.Tensor.dtype", f"{_WHEEL}: a property", "the precision of optimizer state"),
    Name("Tensor.get_grad_tensor", f"{_AUTOGRAD}: None without a gradient", "the norm, without clip_grad_norm"),
    Name("Tensor.backward", f"{_AUTOGRAD}: retain_graph has no default", "gradients"),
    Name(
        "Parameter.tensor",
        "S parameter.py; used on values of parameters() by train_nanogpt.py",
        "where a mapping holds objects with a tensor",
        True,
    ),
    # operations
    Name("ttml.ops", _OPS, "loss"),
    Name("ttml.ops.loss", _OPS, "loss"),
    Name("ttml.ops.loss.cross_entropy_loss", f"{_OPS}: (prediction, target, reduce)", "loss"),
    Name("ttml.ops.ReduceType", _OPS, "loss"),
    Name("ttml.ops.ReduceType.MEAN", _OPS, "loss"),
    Name("ttml.ops.binary", _OPS, "accumulation"),
    Name("ttml.ops.binary.mul", f"{_OPS}: (tensor, float)", "accumulation"),
    # models
    Name("ttml.models", _MODELS, "the Llama"),
    Name("ttml.models.llama", f"{_LLAMA}; {_MODELS}", "the Llama"),
    Name("ttml.models.llama.Llama", f"{_LLAMA}: called with (input, mask), mask may be None", "the model", True),
    Name("ttml.models.llama.LlamaConfig", f"{_LLAMA}: a frozen dataclass; C++ before February 2026", "the model", True),
    *(
        Name(f"LlamaConfig.{field}", _LLAMA, "left out where a build lacks it, or the run is refused")
        for field in (
            "hidden_size",
            "intermediate_size",
            "num_hidden_layers",
            "num_attention_heads",
            "num_key_value_heads",
            "vocab_size",
            "max_position_embeddings",
            "rope_theta",
            "attention_dropout",
            "mlp_dropout",
            "weight_tying",
        )
    ),
    Name("ttml.models.llama.CppLlamaConfig", f"{_LLAMA} re-exports it", "without a Python Llama", True),
    Name(
        "ttml.models.llama.create_cpp_llama_model",
        f"{_LLAMA} re-exports it",
        "without a Python Llama",
        True,
    ),
    Name("ttml.models.llama.create_llama_model", _MODELS, "before the C++ model was renamed", True),
    *(
        Name(f"CppLlamaConfig.{field}", f"{_MODELS}: def_rw", "the C++ model")
        for field in (
            "num_heads",
            "num_groups",
            "embedding_dim",
            "intermediate_dim",
            "dropout_prob",
            "theta",
            "num_blocks",
            "vocab_size",
            "max_sequence_length",
            "weight_tying",
        )
    ),
    Name("ttml.models.WeightTyingType", f"{_MODELS}; S models/llama/__init__.py", "tied embeddings", True),
    Name("WeightTyingType.Enabled", _MODELS, "tied embeddings"),
    Name("WeightTyingType.Disabled", _MODELS, "untied embeddings"),
    Name("Module.parameters", "S module_base.py", "weights"),
    Name("Module.train", "S module_base.py (RunMode)", "dropout on"),
    Name("Module.eval", "S module_base.py (RunMode)", "dropout off"),
    # optimizers
    Name("ttml.optimizers", _OPTIMIZERS, "optimizers"),
    Name("ttml.optimizers.AdamW", f"{_OPTIMIZERS}: (parameters, config)", "AdamW"),
    Name("ttml.optimizers.AdamWConfig", _OPTIMIZERS, "AdamW"),
    Name(
        "AdamWConfig.make",
        f"{_OPTIMIZERS}: stochastic_rounding in newer builds; weight_decay_skip_1d: S PR #48716, "
        f"{_TNT} train/configs/tt-tnt-v077.yaml",
        "both keywords are tried and done without",
    ),
    Name("ttml.optimizers.AdamWFullPrecision", _OPTIMIZERS, "without stochastic rounding; data parallel", True),
    Name("ttml.optimizers.AdamWFullPrecisionConfig", _OPTIMIZERS, "AdamW in full precision", True),
    Name("AdamWFullPrecisionConfig.make", _OPTIMIZERS, "AdamW in full precision"),
    Name("ttml.optimizers.Muon", f"{_OPTIMIZERS} (2026)", "Muon", True),
    Name("ttml.optimizers.MuonComposite", "S muon.cpp", "Muon's older name", True),
    Name("ttml.optimizers.MuonConfig", _OPTIMIZERS, "Muon", True),
    Name("MuonConfig.make", f"{_OPTIMIZERS}: (lr, momentum, ns_steps)", "Muon"),
    Name("Optimizer.zero_grad", _OPTIMIZERS, "before the first micro-batch"),
    Name("Optimizer.step", _OPTIMIZERS, "the update"),
    Name("Optimizer.set_lr", _OPTIMIZERS, "the schedule, before each step"),
    Name("Optimizer.get_state_dict", f"{_OPTIMIZERS}; {_STATE}", "checkpoints; done without", True),
    Name("Optimizer.set_state_dict", f"{_OPTIMIZERS}; {_STATE}", "resuming; done without", True),
)

#: Methods of Python's and NumPy's own values that the files use.
PLAIN = frozenset(
    ("add", "append", "copy", "endswith", "flags", "get", "how", "join", "name", "reshape", "split", "sum", "writeable")
)


def code() -> str:
    """The files' text, one after another."""
    return "\n".join(path.read_text(encoding="utf-8") for path in FILES)


def touched(source: str | None = None) -> set[str]:
    """The last parts of the native names that the code touches: attributes, names looked up as text, config fields."""
    tree = ast.parse(code() if source is None else source)
    listed = _last_parts()
    ours = PLAIN | set(_defined(tree)) | {field.name for kind in _CONFIGS for field in dataclasses.fields(kind)}
    return {name for name in _names(tree) if not name.startswith("_") and (name in listed or name not in ours)}


def unlisted(source: str | None = None) -> set[str]:
    """Names that the code touches and that are not in the list."""
    return touched(source) - _last_parts()


def page() -> str:
    """The list as Markdown."""
    lines = [
        "# The names of ttml and ttnn that Trickster uses",
        "",
        "Generated by `python -m tools.ttml_names`; do not edit. All of them are touched in `device.py`, `tensors.py`,",
        "`model.py` and `optimizers.py` of `trickster_engine/backends/ttml`; a test fails when one is not here.",
        "",
        "Evidence: **S** read in tt-metal's source, **W** tested against ttnn's wheel, **U** used on a board by an",
        "outside project, **M** stated by maintainers. The sources are listed below. Trickster has not tried any of",
        "them on a board: its tests use a double of ttml, which shows that the backend calls ttml correctly, not that",
        "a board computes correctly. A name marked *optional* is used if a build has it; **Aug** marks those that",
        "tt-nanollama3 uses on builds of August 2026.",
        "",
        "| name | used for | evidence |",
        "| --- | --- | --- |",
    ]
    for entry in NAMES:
        mark, _, where = entry.evidence.partition(" ")
        optional = " *(optional)*" if entry.optional else ""
        lately = ", **Aug**" if entry.name in USED_LATELY else ""
        lines.append(f"| `{entry.name}`{optional} | {entry.use} | **{mark}** {where}{lately} |")
    lines += ["", "## Where it was read", "", "| short | what | newest that was read |", "| --- | --- | --- |"]
    lines += [f"| {short} | {what} | {newest} |" for short, what, newest in SOURCES]
    lines += [
        "",
        "Files of tt-metal were read one at a time, from main and from branches; where no commit is given, only the",
        "month is known. Fused layouts (`qkv_linear`, `w_gate_up`) are read off the model that is there.",
        "",
        "## Newer names that are left alone",
        "",
        "| name | why |",
        "| --- | --- |",
        *(f"| {name} | {why} |" for name, why in LEFT_ALONE),
    ]
    return "\n".join(lines) + "\n"


def _last_parts() -> set[str]:
    return {entry.name.rsplit(".", 1)[-1] for entry in NAMES}


def _defined(tree: ast.AST) -> Iterator[str]:
    """Methods and attributes of the files' own classes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
            yield node.attr


def _names(tree: ast.AST) -> Iterator[str]:
    python = {
        (alias.asname or alias.name).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id in python):
            yield node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr"):
            yield from _texts(node.args[1:2])
        elif isinstance(node, ast.For) and isinstance(node.iter, ast.Tuple):  # names that are tried one after another
            for choice in node.iter.elts:
                yield from _texts(getattr(choice, "elts", ()))
        elif isinstance(node, ast.FunctionDef) and node.name == "_python_values":
            for values in ast.walk(node):
                if isinstance(values, ast.Dict):
                    yield from _texts(values.keys)


def _texts(nodes: Iterable[ast.expr | None]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


if __name__ == "__main__":
    print(page(), end="")
