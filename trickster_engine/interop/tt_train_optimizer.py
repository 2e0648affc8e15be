"""What the optimizer and the schedule of tt-train's configs become in ours, in either style of keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trickster_engine.interop.tt_train_conversion import OURS, Account, Conversion, convert, refused


def convert_optimizer(conversion: Conversion, training: Mapping[str, Any], optimizer: Mapping[str, Any]) -> float:
    """Convert either style of optimizer keys; returns the learning rate."""
    values = conversion.values
    if training.get("use_no_op"):
        raise refused("training_config.use_no_op", True, "nothing would be learned", "Set it to false")
    prefix = "training_config.optimizer."
    kind = str(optimizer.get("type", "AdamW"))
    adamw: Mapping[str, Any] = optimizer
    if kind in ("Muon", "MuonWithAdamW"):
        values["training_config.optimizer"] = "muon"
        muon = optimizer.get("muon") if isinstance(optimizer.get("muon"), dict) else optimizer
        values["training_config.muon_learning_rate"] = float((muon or {}).get("lr", 0.02))
        values["training_config.muon_momentum"] = float((muon or {}).get("momentum", 0.95))
        nested = optimizer.get("adamw")
        adamw = nested if isinstance(nested, dict) else {}
    elif kind in ("AdamW", "AdamWFullPrecision", "MorehAdamW", "AdamWComposite"):
        values["training_config.optimizer"] = "adamw"
    else:
        raise refused(f"{prefix}type", kind, "Trickster has AdamW and Muon", "Set type: AdamW")
    flat = {"lr": training.get("learning_rate")} | {
        key: training.get(key) for key in ("beta1", "beta2", "weight_decay")
    }
    defaults = {"lr": 3e-4, "beta1": 0.9, "beta2": 0.999, "weight_decay": 0.01}
    targets = {"lr": "learning_rate", "beta1": "beta1", "beta2": "beta2", "weight_decay": "weight_decay"}
    for key, default in defaults.items():
        written = adamw.get(key, flat[key])
        values[f"training_config.{targets[key]}"] = float(default if written is None else written)
    for key, value in training.items():
        if key in ("learning_rate", "weight_decay", "beta1", "beta2"):
            conversion.keep(f"training_config.{key}", value, f"training_config.{key}", float(value))
        elif key == "eps":
            conversion.drop("training_config.eps", value, _epsilon_note(value))
    _account_for_optimizer(conversion, optimizer, prefix, targets)
    if "optimizer" in training and not isinstance(training["optimizer"], dict):
        conversion.drop("training_config.optimizer", training["optimizer"], "not a mapping")
    rate = values["training_config.learning_rate"]
    assert isinstance(rate, float)
    return rate


def _account_for_optimizer(
    conversion: Conversion, optimizer: Mapping[str, Any], prefix: str, targets: Mapping[str, str]
) -> None:
    for key, value in optimizer.items():
        name = f"{prefix}{key}"
        if key == "type":
            conversion.accounts.append(Account(name, value, "changed", "training_config.optimizer", ""))
        elif key in ("muon", "adamw") and isinstance(value, dict):
            _account_for_nested(conversion, f"{name}.", key, value, targets)
        elif key in targets:
            target = f"training_config.{targets[key]}"
            conversion.keep(name, value, target, convert(name, value, float))
        elif key == "epsilon":
            conversion.drop(name, value, _epsilon_note(value))
        elif key == "amsgrad":
            if value:
                raise refused(name, value, "Trickster's AdamW has no AMSGrad", "Set amsgrad: false")
            conversion.drop(name, value, "off")
        else:
            notes = {
                "stochastic_rounding": f"on wherever ttml has it. {OURS}",
                "kahan_summation": f"it keeps small updates from being lost in bfloat16. {OURS}",
                "weight_decay_skip_1d": f"weight decay excludes the norms wherever ttml can. {OURS}",
                "adamw_modules": "Muon leaves weights to AdamW by their kind",
                "momentum": "muon_momentum",
                "ns_steps": "always 5",
            }
            conversion.drop(name, value, notes.get(key, "Trickster does not know this key"))


def _account_for_nested(
    conversion: Conversion, prefix: str, part: str, values: Mapping[str, Any], targets: Mapping[str, str]
) -> None:
    muon = {"lr": "muon_learning_rate", "momentum": "muon_momentum"}
    for key, value in values.items():
        target = (muon if part == "muon" else targets).get(key)
        if target:
            conversion.keep(f"{prefix}{key}", value, f"training_config.{target}", float(value))
        elif key == "epsilon":
            conversion.drop(f"{prefix}{key}", value, _epsilon_note(value))
        else:
            conversion.drop(f"{prefix}{key}", value, "Trickster decides this automatically")


def convert_schedule(conversion: Conversion, training: Mapping[str, Any], rate: float, steps: int) -> None:
    """`scheduler_type`, with what it makes of a learning rate and a number of steps."""
    kind = training.get("scheduler_type", "identity")
    values = conversion.values
    if kind == "warmup_linear":
        values["training_config.lr_schedule"] = "linear"
        values["training_config.warmup_steps"] = steps // 10
        values["training_config.min_learning_rate"] = _plain(rate / 100)
        note = "a tenth of the steps rising, then falling to a hundredth"
    elif kind == "identity":
        values["training_config.lr_schedule"] = "linear"
        values["training_config.warmup_steps"] = 0
        values["training_config.min_learning_rate"] = rate
        note = "a constant rate: no warm-up, and min_learning_rate is learning_rate"
    else:
        raise refused(
            "training_config.scheduler_type", kind, "tt-train knows identity and warmup_linear", "Choose one of those"
        )
    if "scheduler_type" in training:
        conversion.accounts.append(
            Account("training_config.scheduler_type", kind, "changed", "training_config.lr_schedule", note)
        )


def _plain(value: float) -> float:
    """Without the last digits of binary division."""
    return float(f"{value:.12g}")


def _epsilon_note(value: object) -> str:
    return "Trickster's AdamW has the same" if float(str(value)) == 1e-8 else "Trickster's AdamW always has 1e-8"
