"""The optimizers of the double: AdamW in several precisions, and Muon."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import ttnn
from ttnn._variant import VARIANT

from ._runtime import TWO_VIEWS, NamedParameters, Tensor, passing

Config = dict[str, Any]


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"make(): incompatible function arguments ({name})")
    return float(value)


class AdamWConfig:
    if VARIANT.stochastic_rounding and VARIANT.weight_decay_skip_1d:

        @staticmethod
        def make(
            lr: float,
            beta1: float,
            beta2: float,
            epsilon: float,
            weight_decay: float,
            amsgrad: bool = False,
            stochastic_rounding: bool = False,
            weight_decay_skip_1d: bool = False,
        ) -> Config:
            return _config(lr, beta1, beta2, epsilon, weight_decay, stochastic_rounding, weight_decay_skip_1d)

    elif VARIANT.stochastic_rounding:

        @staticmethod
        def make(  # type: ignore[misc]  # builds differ in what they take
            lr: float,
            beta1: float,
            beta2: float,
            epsilon: float,
            weight_decay: float,
            amsgrad: bool = False,
            stochastic_rounding: bool = False,
        ) -> Config:
            return _config(lr, beta1, beta2, epsilon, weight_decay, stochastic_rounding, False)

    else:

        @staticmethod
        def make(  # type: ignore[misc]  # builds differ in what they take
            lr: float, beta1: float, beta2: float, epsilon: float, weight_decay: float
        ) -> Config:
            return _config(lr, beta1, beta2, epsilon, weight_decay, False, False)


def _config(
    lr: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    weight_decay: float,
    stochastic_rounding: bool,
    skip_1d: bool,
) -> Config:
    names = ("lr", "beta1", "beta2", "epsilon", "weight_decay")
    values = (lr, beta1, beta2, epsilon, weight_decay)
    config = {name: _number(value, name) for name, value in zip(names, values, strict=True)}
    return {**config, "stochastic_rounding": bool(stochastic_rounding), "skip_1d": bool(skip_1d)}


def stochastically(values: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Round to bfloat16 up or down, each as likely as it is near."""
    bits = values.contiguous().view(torch.int32)
    noise = torch.randint(0, 1 << 16, bits.shape, generator=generator, dtype=torch.int32)
    return ((bits + noise) & -65536).view(torch.float32)


class OptimizerBase:
    _config: Config

    def __init__(self, parameters: NamedParameters | dict[str, Tensor]) -> None:
        if isinstance(parameters, dict):
            parameters = NamedParameters(parameters)
        if not isinstance(parameters, NamedParameters):
            raise TypeError("__init__(): incompatible function arguments")
        self._parameters = NamedParameters(dict(parameters.pairs()))
        self._steps = 0
        self._shown: Config | None = None

    def zero_grad(self) -> None:
        if VARIANT.mistake == "gradients_kept":
            return
        for _, tensor in self._parameters.items():
            if tensor.is_grad_initialized():
                for part in tensor._value.parts:
                    part.grad = torch.zeros_like(part)

    def get_lr(self) -> float:
        return float(self._config["lr"])

    def set_lr(self, lr: float) -> None:
        if VARIANT.mistake != "rate_ignored":
            self._config["lr"] = _number(lr, "lr")

    def _gradients(self) -> Iterator[tuple[str, Tensor, list[torch.Tensor]]]:
        passing("step")
        self._shown = None
        for name, tensor in self._parameters.items():
            if tensor.is_grad_initialized():
                yield name, tensor, [ttnn.bf16(gradient) for gradient in tensor.gradients()]

    def _fresh(self, tensor: Tensor, dtype: ttnn._DataType) -> Tensor:
        return Tensor(
            ttnn.Tensor([torch.zeros_like(part).detach() for part in tensor._value.parts], dtype, ttnn._Layout.TILE),
            False,
        )

    def _state(self) -> Config:
        raise NotImplementedError

    def _set_state(self, state: Config) -> None:
        raise NotImplementedError

    def get_state_dict(self) -> Config:
        if VARIANT.state_dict == "none":
            raise RuntimeError("the double: this build hands out no state")
        if self._shown is not None:
            return self._shown
        return {"steps": self._steps, **self._state()}

    def set_state_dict(self, dict: Config) -> None:
        if VARIANT.state_dict == "read-only":
            raise RuntimeError("std::bad_variant_access")
        for kind, current in self.get_state_dict().items():
            value = dict[kind]
            if type(value) is not type(current):
                raise TypeError(f"set_state_dict(): {kind} is {type(value)}, not {type(current)}")
            if isinstance(value, NamedParameters):
                if set(value) != set(current):
                    raise RuntimeError("unordered_map::at")
                for name, tensor in value.items():
                    if tensor.shape() != current[name].shape():
                        raise RuntimeError("the double: state of another shape; the real one lets it pass")
                    if not TWO_VIEWS and tensor._value.dtype is not current[name]._value.dtype:
                        raise RuntimeError("the double: state of another type; the real one lets it pass")
        if VARIANT.mistake == "state_unused":  # shown when asked for, and not computed with
            self._shown = dict
        elif VARIANT.mistake != "state_lost":
            self._set_state(dict)


class AdamW(OptimizerBase):
    _dtype = ttnn._DataType.BFLOAT16
    _fused = True  # one kernel writes weights and moments in place

    def __init__(self, parameters: NamedParameters | dict[str, Tensor], config: Config) -> None:
        super().__init__(parameters)
        self._config = dict(config)
        self._generator = torch.Generator().manual_seed(5)
        self._exp_avg = NamedParameters({name: self._fresh(t, self._dtype) for name, t in self._parameters.items()})
        self._exp_avg_sq = NamedParameters({name: self._fresh(t, self._dtype) for name, t in self._parameters.items()})

    def get_name(self) -> str:
        return "AdamW"

    def _store(self, values: torch.Tensor) -> torch.Tensor:
        return ttnn.bf16(values)

    def _target(self, name: str, tensor: Tensor, chip: int) -> torch.Tensor:
        return tensor._value.parts[chip].detach()

    def _write(self, name: str, tensor: Tensor, chip: int, values: torch.Tensor) -> None:
        exact = self._config["stochastic_rounding"]
        with torch.no_grad():
            tensor._value.parts[chip].copy_(stochastically(values, self._generator) if exact else ttnn.bf16(values))
        tensor._written(by_fused_kernel=True)

    def _check_types(self) -> None:
        """Kernels of newer builds insist on moments of the parameter's own type."""
        for moments in (self._exp_avg, self._exp_avg_sq):
            if TWO_VIEWS and any(tensor._value.dtype is not self._dtype for tensor in moments.values()):
                raise RuntimeError("TT_FATAL: exp_avg and exp_avg_sq must have the data type of the parameter")

    def step(self) -> None:
        self._check_types()
        if VARIANT.mistake == "step_lost":
            return
        self._steps += 1
        config = self._config
        first, second = 1 - config["beta1"] ** self._steps, 1 - config["beta2"] ** self._steps
        for name, tensor, gradients in self._gradients():
            decay = 0.0 if config["skip_1d"] and tensor.shape()[-2] == 1 else config["weight_decay"]
            for chip, gradient in enumerate(gradients):
                mean = self._exp_avg[name]._value.parts[chip]
                square = self._exp_avg_sq[name]._value.parts[chip]
                beta1 = 0.0 if VARIANT.mistake == "wrong_beta" else config["beta1"]
                mean.copy_(self._store(beta1 * mean + (1 - beta1) * gradient))
                square.copy_(self._store(config["beta2"] * square + (1 - config["beta2"]) * gradient.square()))
                values = self._target(name, tensor, chip) * (1 - config["lr"] * decay)
                update = config["lr"] * (mean / first) / ((square / second).sqrt() + config["epsilon"])
                values = values + update if VARIANT.mistake == "uphill" else values - update
                self._write(name, tensor, chip, values)
            self._exp_avg[name]._written(by_fused_kernel=self._fused)
            self._exp_avg_sq[name]._written(by_fused_kernel=self._fused)

    def _state(self) -> Config:
        return {"lr": self._config["lr"], "amsgrad": False, "exp_avg": self._exp_avg, "exp_avg_sq": self._exp_avg_sq}

    def _set_state(self, state: Config) -> None:
        self._steps = state["steps"]
        self._config["lr"] = state["lr"]
        self._exp_avg, self._exp_avg_sq = state["exp_avg"], state["exp_avg_sq"]


if VARIANT.full_precision:

    class AdamWFullPrecisionConfig:
        @staticmethod
        def make(
            lr: float, beta1: float, beta2: float, epsilon: float, weight_decay: float, amsgrad: bool = False
        ) -> Config:
            return _config(lr, beta1, beta2, epsilon, weight_decay, False, False)

    class AdamWFullPrecision(AdamW):
        _dtype = ttnn._DataType.FLOAT32
        _fused = False

        def __init__(self, parameters: NamedParameters | dict[str, Tensor], config: Config) -> None:
            super().__init__(parameters, config)
            # Copied here and now: weights that are assigned later are overwritten by the first step.
            self._master = NamedParameters()
            for name, tensor in self._parameters.items():
                copy = Tensor(ttnn.clone(tensor._value), False)
                copy._value._dtype = ttnn._DataType.FLOAT32
                self._master[name] = copy

        def get_name(self) -> str:
            return "AdamWFullPrecision"

        def _store(self, values: torch.Tensor) -> torch.Tensor:
            return values

        def _target(self, name: str, tensor: Tensor, chip: int) -> torch.Tensor:
            part: torch.Tensor = self._master[name]._value.parts[chip]
            return part

        def _write(self, name: str, tensor: Tensor, chip: int, values: torch.Tensor) -> None:
            self._master[name]._value.parts[chip].copy_(values)
            self._master[name]._written()
            with torch.no_grad():
                tensor._value.parts[chip].copy_(ttnn.bf16(values))
            tensor._written()

        def _state(self) -> Config:
            return {**super()._state(), "master_weights": self._master}

        def _set_state(self, state: Config) -> None:
            super()._set_state(state)
            self._master = state["master_weights"]


def _orthogonal(matrix: torch.Tensor, steps: int) -> torch.Tensor:
    """Newton-Schulz iteration of the fifth order."""
    x: torch.Tensor = matrix / (matrix.norm() + 1e-7)
    turned = x.shape[0] > x.shape[1]
    x = x.T if turned else x
    for _ in range(steps):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.T if turned else x


if VARIANT.muon:

    class MuonConfig:
        @staticmethod
        def make(lr: float = 1e-3, momentum: float = 0.95, ns_steps: int = 5) -> Config:
            return {"lr": _number(lr, "lr"), "momentum": _number(momentum, "momentum"), "ns_steps": int(ns_steps)}

    class _Muon(OptimizerBase):
        def __init__(self, parameters: NamedParameters | dict[str, Tensor], config: Config) -> None:
            super().__init__(parameters)
            self._config = dict(config)
            self._momentum = NamedParameters(
                {name: self._fresh(t, ttnn._DataType.BFLOAT16) for name, t in self._parameters.items()}
            )

        def step(self) -> None:
            for name, tensor, gradients in self._gradients():
                for chip, gradient in enumerate(gradients):
                    buffer = self._momentum[name]._value.parts[chip]
                    buffer.copy_(ttnn.bf16(self._config["momentum"] * buffer + gradient))
                    update = _orthogonal(buffer[0, 0], self._config["ns_steps"])
                    with torch.no_grad():
                        part = tensor._value.parts[chip]
                        part.copy_(ttnn.bf16(part - self._config["lr"] * update))
                self._momentum[name]._written()
                tensor._written()
            self._steps += 1

        def _state(self) -> Config:
            return {"momentum_buffer": self._momentum}

        def _set_state(self, state: Config) -> None:
            self._steps = state["steps"]
            self._momentum = state["momentum_buffer"]

    globals()[VARIANT.muon] = type(VARIANT.muon, (_Muon,), {})
