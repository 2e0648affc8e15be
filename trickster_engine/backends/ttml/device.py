"""The one file that touches ttml and ttnn. What it touches, and on what evidence, is listed in `tools/ttml_names.py`.

Everything is decided by looking at what is there, never by a version number: names and signatures differ between
builds that carry the same version. Shapes, with B sequences of T tokens and a vocabulary of V: token ids [B, 1, 1, T]
and targets [B, T], both uint32 and row-major; logits [B, 1, T, V]; weights [1, 1, rows, columns] in bfloat16 tiles.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import importlib
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trickster_engine.backends.ttml.package import version_of
from trickster_engine.backends.ttml.weights import round_to_bf16
from trickster_engine.config.plan import ModelConfig, TrainingConfig
from trickster_engine.errors import TricksterError
from trickster_engine.system.substitutes import substitute

Floats = NDArray[np.float32]

#: Tells the person something: a code, what is so, what to do about it.
Notify = Callable[[str, str, str], None]

ADAM_EPSILON = 1e-8
NEWTON_SCHULZ_STEPS = 5
#: A norm that no gradient reaches: clipping to it changes nothing and still returns the norm.
NO_CLIPPING = 1e9

UPDATE_ADVICE = "Update tt-metal (v0.77 or later is best), build it with tt-train, and try again."


class TtmlDevice:
    """An open Tenstorrent device. Closed exactly once, by `close`, which never raises."""

    def __init__(self, ttml: ModuleType, ttnn: ModuleType, chips: int, seed: int) -> None:
        """Open a line of `chips` chips. Raises TricksterError, with the device closed again, where that fails."""
        self._ttml: Any = ttml
        self._ttnn: Any = ttnn
        self.chips = chips
        self._context: Any = ttml.autograd.AutoContext.get_instance()
        self._mesh_opened = False
        try:
            self._open()
            self.reseed(seed)
        except BaseException as error:
            self.close()
            if isinstance(error, TricksterError) or not isinstance(error, Exception):
                raise
            raise _cannot_open(error) from error

    @property
    def versions(self) -> dict[str, str]:
        """The versions of the two libraries."""
        return {"ttml": version_of(self._ttml, "ttml"), "ttnn": version_of(self._ttnn, "ttnn")}

    def describe(self) -> str:
        """The device in words."""
        try:
            name = str(self._ttnn.get_arch_name())
        except Exception:
            name = "board"
        stands_in = substitute()
        chips = f" ({self.chips} chips)" if self.chips > 1 else ""
        return f"Tenstorrent {name}{chips}" + (f", {stands_in.how}" if stands_in else "")

    def reseed(self, seed: int) -> None:
        """Start the generator of dropout and stochastic rounding anew."""
        self._context.set_seed(seed % 2**32)

    def close(self) -> None:
        """Give the device back. Whatever lives on it must have been dropped."""
        gc.collect()  # tensors that are freed after their device abort the process
        with contextlib.suppress(Exception):
            self._context.reset_graph()
        try:
            if self._mesh_opened and hasattr(self._ttml, "close_device_mesh"):
                self._ttml.close_device_mesh()
            else:
                self._context.close_device()
        except Exception:
            with contextlib.suppress(Exception):
                self._context.close_device()

    # --- opening -----------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        if hasattr(self._ttml, "open_device_mesh"):
            shape: Any = (1, self.chips)
            if self.chips > 1 and hasattr(self._ttml, "Mesh"):
                shape = self._ttml.Mesh((1, self.chips), ("line", "dp"))
            self._mesh_opened = True
            self._ttml.open_device_mesh(shape)
        else:
            if self.chips > 1:
                self._ttml.core.distributed.enable_fabric(self.chips)
            self._context.open_device([1, self.chips])
        if self.chips > 1:
            self._initialize_parallelism()

    def _initialize_parallelism(self) -> None:
        """Without this context ttml's gradient averaging returns at once and in silence, and the copies drift apart."""
        context = self._context
        if not hasattr(context, "initialize_parallelism_context"):
            raise _missing("data-parallel training (no initialize_parallelism_context)")
        if not context.is_parallelism_context_initialized():
            config = self._ttml.autograd.DistributedConfig(enable_ddp=True, enable_tp=False)
            context.initialize_parallelism_context(config)
        parallel = context.get_parallelism_context()
        if not parallel.is_ddp_enabled() or parallel.get_ddp_size() != self.chips:
            raise TricksterError(
                "ddp-not-active",
                f"ttml opened a data-parallel line of {parallel.get_ddp_size()} chips instead of {self.chips}: the "
                "copies of the model would diverge unnoticed.",
                "Check which chips are visible (TT_VISIBLE_DEVICES, tt-smi), or train with mesh_shape: [1, 1].",
            )

    # --- tensors -----------------------------------------------------------------------------------------------------

    def upload_weights(self, array: Floats, *, full_precision: bool = False) -> Any:
        """A [1, 1, rows, columns] tensor, the same on every chip, in bfloat16 or (optimizer memory) float32."""
        types = self._ttnn.DataType
        return self._ttml.autograd.Tensor.from_numpy(
            _host_array(array if full_precision else round_to_bf16(array), np.float32),
            layout=self._ttnn.Layout.TILE,
            new_type=types.FLOAT32 if full_precision else types.BFLOAT16,
        )

    def upload_tokens(self, tokens: NDArray[np.integer[Any]], shape: tuple[int, ...]) -> Any:
        """Token ids as uint32, row-major; on several chips the first axis is dealt among them."""
        more = {"mapper": self._shard()} if self.chips > 1 else {}
        return self._ttml.autograd.Tensor.from_numpy(
            _host_array(tokens.reshape(shape), np.uint32),
            layout=self._ttnn.Layout.ROW_MAJOR,
            new_type=self._ttnn.DataType.UINT32,
            **more,
        )

    def download(self, tensor: Any, *, full_precision: bool = False) -> Floats:
        """A tensor as float32. On several chips their parts come back one after another along the first axis.

        `full_precision`: the tensor is stored as float32, as only the memory of AdamW in full precision is.
        """
        # A tensor keeps the views of itself that were once read, and builds of 2026 write past them: a second read
        # gave the values of the first. What wraps the stored value has no views yet.
        fresh = self._ttml.autograd.Tensor(self.stored(tensor, full_precision=full_precision), False)
        more = {"composer": self._gather()} if self.chips > 1 else {}
        return np.asarray(fresh.to_numpy(self._ttnn.DataType.FLOAT32, **more), dtype=np.float32)

    def download_copy(self, tensor: Any, *, full_precision: bool = False) -> Floats:
        """A tensor that every chip has a copy of: the first chip's, whether one came back or all of them."""
        rows = self.download(tensor, full_precision=full_precision)
        once = int(next(iter(tensor.shape())))
        if len(rows) not in (once, once * self.chips):
            raise TricksterError(
                "ttml-shape",
                f"A tensor of {once} rows, copied to {self.chips} chips, came back with {len(rows)} rows.",
                f"Train on one chip with device_config.mesh_shape: [1, 1]. {UPDATE_ADVICE}",
            )
        return rows[:once]

    def stored(self, tensor: Any, *, full_precision: bool = False) -> Any:
        """The ttnn tensor that holds a tensor's values, in the precision it is stored in."""
        kinds = self._ttml.autograd.PreferredPrecision
        if hasattr(kinds, "NATIVE"):
            return tensor.get_value(kinds.NATIVE)
        return tensor.get_value(kinds.FULL if full_precision else kinds.HALF)

    def stored_in_full(self, tensor: Any, *, full_precision: bool) -> bool:
        """Whether a tensor is stored as float32. What `Tensor.dtype` says is the type of a view."""
        return bool(self.stored(tensor, full_precision=full_precision).dtype == self._ttnn.DataType.FLOAT32)

    def _shard(self) -> Any:
        return self._ttml.core.distributed.shard_tensor_to_mesh_mapper(self._context.get_device(), 0)

    def _gather(self) -> Any:
        return self._ttml.core.distributed.concat_mesh_to_tensor_composer(self._context.get_device(), 0)

    # --- gradients ---------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def gradients_off(self) -> Iterator[None]:
        """Record nothing for a backward pass meanwhile."""
        modes = self._ttml.autograd.GradMode
        self._context.set_gradient_mode(modes.DISABLED)
        try:
            yield
        finally:
            self._context.set_gradient_mode(modes.ENABLED)

    def forget_graph(self) -> None:
        """Free what a forward pass kept."""
        self._context.reset_graph()

    def loss(self, logits: Any, targets: Any) -> Any:
        """Mean cross-entropy over all targets. Its value is a bfloat16: two to three digits."""
        ops = self._ttml.ops
        return ops.loss.cross_entropy_loss(logits, targets, reduce=ops.ReduceType.MEAN)

    def backward(self, loss: Any, weight: float) -> None:
        """Add `weight` times the gradient of `loss` to what the parameters already hold."""
        scaled = loss if weight == 1.0 else self._ttml.ops.binary.mul(loss, weight)
        scaled.backward(False)  # the binding has no default for retain_graph

    # --- model -------------------------------------------------------------------------------------------------------

    def create_model(self, config: ModelConfig) -> TtmlModel:
        """A Llama of this shape with random weights, in ttml's Python implementation, or its C++ one if it must be.

        Raises TricksterError where neither can do what the config asks for.
        """
        module = self._llama_module()
        python_config: Any = getattr(module, "LlamaConfig", None)
        if hasattr(module, "Llama") and dataclasses.is_dataclass(python_config):
            make_config: Any = python_config
            known = {field.name for field in dataclasses.fields(python_config)}
            values = self._python_values(config)
            missing = sorted(name for name in values if name not in known and not self._is_default(name, config))
            if missing:
                raise _missing(f"{', '.join(missing)} in its LlamaConfig, which this model_config needs")
            kept = {name: value for name, value in values.items() if name in known}
            return TtmlModel(self, module.Llama(make_config(**kept)), mask=None)
        return TtmlModel(self, self._create_cpp_model(module, config), mask=self.causal_mask(config.max_seq_len))

    def _llama_module(self) -> Any:
        try:
            return importlib.import_module("ttml.models.llama")
        except ModuleNotFoundError:
            models: Any = getattr(self._ttml, "models", None)  # older builds bind it without making it importable
            if hasattr(models, "llama"):
                return models.llama
            raise _missing("a Llama model") from None

    def _python_values(self, config: ModelConfig) -> dict[str, Any]:
        return {
            "hidden_size": config.hidden_dim,
            "intermediate_size": config.mlp_dim,
            "num_hidden_layers": config.num_layers,
            "num_attention_heads": config.num_heads,
            "num_key_value_heads": config.num_kv_heads,
            "vocab_size": config.vocab_size,
            "max_position_embeddings": config.max_seq_len,
            "rope_theta": config.rope_theta,
            "attention_dropout": config.dropout,
            "mlp_dropout": config.dropout,
            "weight_tying": self._tying(config),
        }

    def _is_default(self, name: str, config: ModelConfig) -> bool:
        """Whether leaving out a field that this build does not know changes nothing."""
        harmless = {
            "weight_tying": not config.tie_embeddings,
            "rope_theta": config.rope_theta == 10000.0,
            "attention_dropout": config.dropout == 0,
            "mlp_dropout": config.dropout == 0,
        }
        return harmless.get(name, False)

    def _tying(self, config: ModelConfig) -> Any:
        kinds = getattr(self._ttml.models, "WeightTyingType", None)
        if kinds is None:
            return None
        return kinds.Enabled if config.tie_embeddings else kinds.Disabled

    def _create_cpp_model(self, module: Any, config: ModelConfig) -> Any:
        for config_name, create_name in (
            ("CppLlamaConfig", "create_cpp_llama_model"),
            ("LlamaConfig", "create_llama_model"),  # before the Python model took the name
        ):
            if hasattr(module, config_name) and hasattr(module, create_name):
                break
        else:
            raise _missing("a Llama model that Trickster can build")
        native = getattr(module, config_name)()
        native.num_heads = config.num_heads
        native.num_groups = config.num_kv_heads
        native.embedding_dim = config.hidden_dim
        native.intermediate_dim = config.mlp_dim
        native.dropout_prob = config.dropout
        native.theta = config.rope_theta
        native.num_blocks = config.num_layers
        native.vocab_size = config.vocab_size
        native.max_sequence_length = config.max_seq_len
        native.weight_tying = self._tying(config)  # the C++ default is tied, the Python one is not
        return getattr(module, create_name)(native)

    def causal_mask(self, length: int) -> Any:
        """The mask that the C++ model insists on: [1, 1, T, T], 1 where a token may look."""
        return self.upload_weights(np.tril(np.ones((1, 1, length, length), dtype=np.float32)))

    def clone(self, tensor: Any) -> Any:
        """A copy that nothing else shares: inference reuses the memory of a mask it was given."""
        return self._ttml.autograd.Tensor(self._ttnn.clone(self.stored(tensor)), False)

    # --- optimizers --------------------------------------------------------------------------------------------------

    def create_optimizer(self, model: TtmlModel, training: TrainingConfig, notify: Notify) -> TtmlOptimizer:
        """The optimizer of a plan. It must be created after the weights are in place: AdamW in full precision copies
        them at that moment.
        """
        if training.optimizer == "muon":
            return self._create_muon(model, training, notify)
        return TtmlOptimizer(
            self, [(self._create_adamw(model.native_parameters(), training, notify), training.learning_rate)]
        )

    def _create_adamw(self, parameters: Any, training: TrainingConfig, notify: Notify) -> Any:
        optimizers = self._ttml.optimizers
        values = (training.learning_rate, training.beta1, training.beta2, ADAM_EPSILON, training.weight_decay)
        has_full_precision = hasattr(optimizers, "AdamWFullPrecision")
        # Each chip would round its own copy its own way: the copies of a data-parallel run must stay equal.
        if self.chips == 1 or not has_full_precision:
            for options in (
                {"stochastic_rounding": True, "weight_decay_skip_1d": True},
                {"stochastic_rounding": True},
            ):
                try:
                    config = optimizers.AdamWConfig.make(*values, **options)
                except TypeError:
                    continue
                if "weight_decay_skip_1d" not in options:
                    _notify_decay(training, notify)
                if self.chips > 1:
                    notify(
                        "ttml-copies-drift",
                        "This ttml rounds each chip's weights stochastically on its own: the copies of the model "
                        "diverge slightly, and the first chip's copy is saved.",
                        "Update tt-metal for AdamW in full precision, or train on one chip.",
                    )
                return optimizers.AdamW(parameters, config)
        _notify_decay(training, notify)
        if has_full_precision:
            return optimizers.AdamWFullPrecision(parameters, optimizers.AdamWFullPrecisionConfig.make(*values))
        notify(
            "ttml-norms-frozen",
            "This ttml has neither stochastic rounding nor AdamW in full precision: small updates to bfloat16 weights "
            "are rounded away, and the norms stay at exactly 1.",
            UPDATE_ADVICE,
        )
        return optimizers.AdamW(parameters, optimizers.AdamWConfig.make(*values))

    def _create_muon(self, model: TtmlModel, training: TrainingConfig, notify: Notify) -> TtmlOptimizer:
        optimizers = self._ttml.optimizers
        muon = getattr(optimizers, "Muon", None) or getattr(optimizers, "MuonComposite", None)
        if muon is None or not hasattr(optimizers, "MuonConfig"):
            raise _missing("the Muon optimizer", "Set training_config.optimizer: adamw, or update tt-metal.")
        by_muon, by_adamw = self._ttml.NamedParameters(), self._ttml.NamedParameters()
        fused = set()
        for name, tensor in model.native_parameters().items():
            tail = name.split("/")[-2]
            if tail in ("q_linear", "out_linear", "w1", "w2", "w3"):
                by_muon[name] = tensor_of(tensor)
            else:
                by_adamw[name] = tensor_of(tensor)
                if tail in ("kv_linear", "qkv_linear", "w_gate_up"):
                    fused.add(tail)
        if fused:
            notify(
                "ttml-muon-partly",
                f"ttml fuses several matrices ({', '.join(sorted(fused))}). Muon would mix them, so AdamW trains "
                "them; on other devices Muon trains them too. ttml's Muon has no weight decay.",
                "No action is needed. Expect slightly different losses than with Muon on a CPU or GPU.",
            )
        config = optimizers.MuonConfig.make(training.muon_learning_rate, training.muon_momentum, NEWTON_SCHULZ_STEPS)
        adamw = self._create_adamw(by_adamw, training, notify)
        return TtmlOptimizer(
            self, [(adamw, training.learning_rate), (muon(by_muon, config), training.muon_learning_rate)]
        )

    def named_parameters(self, tensors: Mapping[str, Any]) -> Any:
        """ttml's own kind of mapping, which optimizers take state in."""
        named = self._ttml.NamedParameters()
        for name, tensor in tensors.items():
            named[name] = tensor
        return named

    def can_clip(self) -> bool:
        """Whether this build can clip the gradient's norm."""
        return hasattr(self._ttml.core, "clip_grad_norm")

    def clip(self, model: TtmlModel, limit: float) -> float:
        """Clip the gradients to a norm of `limit` (0: do not) and return their norm before that.

        Gradients of a data-parallel run are averaged first, so that every chip clips by the same norm.
        """
        parameters = model.native_parameters()
        if self.chips > 1:
            self._ttml.core.distributed.synchronize_gradients(parameters)
        if self.can_clip():
            norm = self._ttml.core.clip_grad_norm(parameters, limit if limit > 0 else NO_CLIPPING, 2.0, False)
            return float(self.download_copy(norm).reshape(-1)[0])
        squares = 0.0
        for _, parameter in parameters.items():
            gradient = tensor_of(parameter).get_grad_tensor()
            if gradient is not None:
                squares += float(np.square(self.download_copy(gradient), dtype=np.float64).sum())
        return float(np.sqrt(squares))


class TtmlModel:
    """A Llama on the device."""

    def __init__(self, device: TtmlDevice, native: Any, mask: Any) -> None:
        """`mask` is None for the Python model, whose kernel is causal by itself, and faster."""
        self._device = device
        self._native = native
        self._mask = mask

    @property
    def implementation(self) -> str:
        """`Python` or `C++`."""
        return "Python" if self._mask is None else "C++"

    def native_parameters(self) -> Any:
        """ttml's own mapping of names to tensors, in no particular order."""
        return self._native.parameters()

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The tensors' names and shapes."""
        return {name: tuple(tensor_of(value).shape()) for name, value in self.native_parameters().items()}

    def assign(self, arrays: Mapping[str, Floats]) -> None:
        """Overwrite weights by ttml's names; the arrays have exactly the tensors' shapes."""
        parameters = self.native_parameters()
        for name, array in arrays.items():
            tensor_of(parameters[name]).assign(self._device.upload_weights(array))

    def arrays(self) -> dict[str, Floats]:
        """All weights by ttml's names."""
        return {name: self._device.download_copy(tensor_of(value)) for name, value in self.native_parameters().items()}

    def forward(self, tokens: NDArray[np.integer[Any]], *, training: bool) -> Any:
        """Tokens [B, T] to logits [B, 1, T, V] on the device, with dropout in training."""
        sequences, length = tokens.shape
        ids = self._device.upload_tokens(tokens, (sequences, 1, 1, length))
        if training:
            self._native.train()
            return self._native(ids, self._mask)
        self._native.eval()
        return self._native(ids, None if self._mask is None else self._device.clone(self._mask))


class TtmlOptimizer:
    """One or two of ttml's optimizers, each with its full learning rate."""

    def __init__(self, device: TtmlDevice, parts: list[tuple[Any, float]]) -> None:
        self._device = device
        self._parts = parts

    @property
    def names(self) -> str:
        """What ttml calls them."""
        return " + ".join(type(part).__name__ for part, _ in self._parts)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part, _ in self._parts:
            part.zero_grad()

    def step(self, factor: float) -> None:
        """Update the weights with every learning rate multiplied by `factor`, which is set before the step."""
        for part, full_rate in self._parts:
            part.set_lr(full_rate * factor)
            part.step()

    def state(self) -> list[dict[str, Any]]:
        """Each optimizer's memory: numbers, and arrays by ttml's names below their kind. Empty if ttml gives none."""
        states = []
        for part, _ in self._parts:
            try:
                native = part.get_state_dict()
                states.append({kind: self._to_host(part, value) for kind, value in native.items()})
            except Exception:
                return []
        return states

    def master_weights(self) -> dict[str, Floats]:
        """The weights in full precision, where the optimizer keeps them so, by ttml's names."""
        for part, _ in self._parts:
            if _keeps_full_precision(part):
                with contextlib.suppress(Exception):
                    masters: dict[str, Floats] = self._to_host(part, part.get_state_dict()["master_weights"])
                    return masters
        return {}

    def load_state(self, states: list[dict[str, Any]]) -> bool:
        """Take back what `state` returned, in as many dicts as there are optimizers. False if ttml does not take it."""
        try:
            for (part, _), state in zip(self._parts, states, strict=True):
                live = part.get_state_dict()
                part.set_state_dict({kind: self._to_device(part, state.get(kind), live[kind]) for kind in live})
        except Exception:
            return False
        return True

    def _to_host(self, part: Any, value: Any) -> Any:
        if not hasattr(value, "items"):
            return value
        full = _keeps_full_precision(part)
        return {
            name: self._device.download_copy(tensor_of(tensor), full_precision=full) for name, tensor in value.items()
        }

    def _to_device(self, part: Any, value: Any, live: Any) -> Any:
        if value is None:
            return live
        if not hasattr(live, "items"):
            return type(live)(value)
        uploaded = {}
        for name, tensor in live.items():  # newer kernels insist on the type that they made themselves
            full = self._device.stored_in_full(tensor_of(tensor), full_precision=_keeps_full_precision(part))
            uploaded[name] = self._device.upload_weights(value[name], full_precision=full)
        return self._device.named_parameters(uploaded)


def _keeps_full_precision(optimizer: Any) -> bool:
    return type(optimizer).__name__ == "AdamWFullPrecision"


def tensor_of(parameter: Any) -> Any:
    """The tensor of a parameter: in some builds a mapping holds tensors, in others objects with a tensor."""
    return getattr(parameter, "tensor", parameter)


def _host_array(array: NDArray[Any], kind: type[np.generic]) -> NDArray[Any]:
    """An array whose memory can be read from front to back: the binding does not honour strides."""
    plain = np.require(array, dtype=kind, requirements=["C_CONTIGUOUS", "ALIGNED", "WRITEABLE"])
    return plain if plain.flags.writeable else plain.copy()


def _notify_decay(training: TrainingConfig, notify: Notify) -> None:
    if training.weight_decay > 0:
        notify(
            "ttml-norms-decay",
            "This ttml cannot exclude the norms from weight decay: it pulls their scales slightly towards 0.",
            "Set training_config.weight_decay: 0.01 or lower, or update tt-metal.",
        )


def _missing(what: str, advice: str = UPDATE_ADVICE) -> TricksterError:
    return TricksterError("ttml-incomplete", f"This ttml does not have {what}.", advice)


def _cannot_open(error: Exception) -> TricksterError:
    advice = (
        "Run `trickster doctor`: it shows which process uses the device, and the driver and firmware. To reset a "
        "board that a killed process left open: tt-smi -r"
    )
    if substitute():
        advice = "Run `trickster doctor`: it lists what a simulated chip needs and what is missing."
    return TricksterError(
        "device-not-opened",
        f"The Tenstorrent device cannot be opened: {type(error).__name__}: {error}.",
        advice,
    )
