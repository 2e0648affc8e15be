"""The acceptance on a board: the same logits as torch, a loss that falls, a checkpoint that comes back.

`python -m trickster_engine.doctor.self_test REPORT.json` runs it in this process; `run_self_test` gives it one of its
own and a time limit, because a board that hangs cannot be interrupted from within.
"""

from __future__ import annotations

import json
import math
import os
import platform
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from trickster_engine.backends.tenstorrent import boards, driver_version
from trickster_engine.backends.ttml_backend import TtmlBackend
from trickster_engine.backends.ttml_package import NO_BOARD_VARIABLES, checkout_of
from trickster_engine.config.plan import DeviceConfig, ModelConfig, Plan, TrainingConfig
from trickster_engine.doctor.parity import TOLERANCE, relative_error, some_tokens, telling_weights, torch_logits
from trickster_engine.errors import TricksterError
from trickster_engine.files import write_json_atomically
from trickster_engine.programs import python_command

#: Kernels are compiled for the first time, and a board may be slow: a quarter of an hour is generous.
LIMIT_SECONDS = 900.0
STEPS = 20

PLAN = Plan(
    model=ModelConfig(
        vocab_size=256, hidden_dim=128, num_layers=2, num_heads=4, num_kv_heads=2, mlp_dim=256, max_seq_len=64,
        dropout=0.0,
    ),
    training=TrainingConfig(
        batch_size=4, gradient_accumulation_steps=1, max_steps=STEPS, warmup_steps=0, learning_rate=3e-3,
    ),
    device=DeviceConfig("tt"),
)  # fmt: skip


@dataclass
class Check:
    """One thing that was tried. `figures` are what was measured."""

    name: str
    passed: bool
    message: str
    seconds: float
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass
class SelfTest:
    """All that was tried, and on what."""

    passed: bool
    silicon: bool  # whether this says anything about a board
    remark: str
    machine: dict[str, Any]
    checks: list[Check]

    def as_json(self) -> dict[str, Any]:
        """The result as plain JSON."""
        return {"schema": 1, **asdict(self)}

    def as_text(self) -> str:
        """The result for a person."""
        lines = [
            f"[{'ok' if check.passed else '!!'}] {check.name}: {check.message} ({check.seconds:.1f} s)"
            for check in self.checks
        ]
        return "\n".join([*lines, "", "All passed." if self.passed else "Not passed.", self.remark])


def run_self_test(report: Path, python: str = sys.executable, limit: float = LIMIT_SECONDS) -> SelfTest:
    """Run the acceptance in a process of its own and write the report, whatever happens."""
    report.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    process = subprocess.Popen(
        python_command(__name__, report, python=python),
        stdin=subprocess.DEVNULL,
        start_new_session=os.name == "posix",
    )
    try:
        process.wait(timeout=limit)
        how = f"ended with exit code {process.returncode}"
    except subprocess.TimeoutExpired:
        how = f"did not finish within {limit:g} s"
        process.terminate()  # lets it close the device; a hanging driver will not hear it
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            how += ". The board may need: tt-smi -r"
    result = _read(report)
    if result is None or "passed" not in result:
        checks = [Check(**check) for check in (result or {}).get("checks", [])]
        checks.append(Check("process", False, f"The self-test's process {how}.", limit))
        silicon, remark = _silicon()
        test = SelfTest(False, silicon, remark, _machine({}), checks)
        write_json_atomically(report, test.as_json())
        return test
    return SelfTest(
        **{key: value for key, value in result.items() if key not in ("schema", "checks")},
        checks=[Check(**check) for check in result["checks"]],
    )


def acceptance(say: Callable[[str], None], progress: Callable[[list[Check]], None] = lambda _: None) -> SelfTest:
    """Try everything, in this process."""
    checks: list[Check] = []
    backend: TtmlBackend | None = None

    def attempt(name: str, action: Callable[[], tuple[bool, str, dict[str, Any]]]) -> bool:
        say(f"{name} …")
        began = time.perf_counter()
        try:
            passed, message, figures = action()
        except TricksterError as error:
            passed, message, figures = False, str(error), {"code": error.code}
        except Exception as error:
            passed, message, figures = False, f"{type(error).__name__}: {error}", {"trace": traceback.format_exc()}
        checks.append(Check(name, passed, message, round(time.perf_counter() - began, 2), figures))
        progress(checks)
        return passed

    versions: dict[str, str] = {}
    try:

        def open_device() -> tuple[bool, str, dict[str, Any]]:
            nonlocal backend
            backend = TtmlBackend(PLAN, report=say)
            versions.update(backend.versions)
            notices = [{"code": code, "message": message} for code, message, _ in backend.notices()]
            return True, f"{backend.device} is open and has compiled its kernels", {"notices": notices}

        if attempt("open", open_device) and backend is not None:
            opened: TtmlBackend = backend
            attempt("logits", lambda: _logits(opened))
            attempt("training", lambda: _training(opened))
            attempt("checkpoint", lambda: _checkpoint(opened))
    finally:
        if backend is not None:
            backend.close()
    silicon, remark = _silicon()
    return SelfTest(all(check.passed for check in checks), silicon, remark, _machine(versions), checks)


def _logits(backend: TtmlBackend) -> tuple[bool, str, dict[str, Any]]:
    weights = telling_weights(PLAN.model)
    tokens = some_tokens(PLAN.model, PLAN.training.batch_size)
    backend.load(weights, {}, {})
    backend.notices()
    error = relative_error(backend.logits(tokens), torch_logits(PLAN.model, weights, tokens))
    message = (
        f"they differ from torch's by {error:.2%} (bfloat16 allows {TOLERANCE:.0%}, a layout mistake gives over 40 %)"
    )
    return error <= TOLERANCE, message, {"relative_error": error}


def _training(backend: TtmlBackend) -> tuple[bool, str, dict[str, Any]]:
    from trickster_engine.model.llama import Llama

    start = Llama(PLAN.model).initialize(PLAN.training.seed)
    backend.load({name: tensor.numpy() for name, tensor in start.state_dict().items()}, {}, {})
    backend.notices()
    losses, seconds = [], []
    for step in range(STEPS):
        began = time.perf_counter()
        losses.append(backend.step([_lesson(step)], 1.0).loss)
        seconds.append(time.perf_counter() - began)
    guess = math.log(PLAN.model.vocab_size)
    fell = losses[-1] < losses[0] - 0.5 and abs(losses[0] - guess) < 1.0
    message = f"the loss went from {losses[0]:.3f} (guessing gives {guess:.2f}) to {losses[-1]:.3f} in {STEPS} steps"
    return fell, message, {"losses": losses, "seconds_a_step": float(np.median(seconds))}


def _checkpoint(backend: TtmlBackend) -> tuple[bool, str, dict[str, Any]]:
    weights, state, random = backend.weights(), backend.optimizer_state(), backend.random_state()
    before = backend.evaluate([_lesson(1000)])
    backend.step([_lesson(1001)], 1.0)
    backend.load(weights, state, random)
    after = backend.evaluate([_lesson(1000)])
    again = backend.weights()
    same = all(np.array_equal(weights[name], again[name]) for name in weights)
    kept = backend.optimizer_state()
    state_same = set(kept) == set(state) and all(np.array_equal(kept[key], state[key]) for key in state)
    held = "with" if state else "without"
    message = (
        f"weights come back {'bit for bit' if same else 'CHANGED'}, {held} the optimizer's memory; loss {after:.4f}"
    )
    figures = {"loss_before": before, "loss_after": after, "optimizer_arrays": len(state), "state_same": state_same}
    return same and state_same and abs(before - after) < 1e-3, message, figures


def _lesson(step: int) -> tuple[np.ndarray[Any, np.dtype[np.int64]], np.ndarray[Any, np.dtype[np.int64]]]:
    """Sequences that count upwards from somewhere: easily learned, and never the same."""
    rows, length = PLAN.training.batch_size, PLAN.model.max_seq_len
    starts = np.random.default_rng(step).integers(0, 32, (rows, 1))
    tokens = (starts + np.arange(length + 1)) % 32
    return tokens[:, :-1].astype(np.int64), tokens[:, 1:].astype(np.int64)


def _silicon() -> tuple[bool, str]:
    """Whether a pass says anything about a board, in words."""
    substitute = next((name for name in NO_BOARD_VARIABLES if os.environ.get(name)), None)
    if substitute:
        return False, f"{substitute} is set: this ran in a program and says nothing about a board."
    if not boards():
        return (
            False,
            "No Tenstorrent board is in this machine: whatever ran was not a board, and this proves nothing about one.",
        )
    return True, "Please attach this report to an issue, passed or not: every board and build that is known helps."


def _machine(versions: dict[str, str]) -> dict[str, Any]:
    return {
        "system": platform.platform(),
        "driver": driver_version(),
        "boards": [{"card_type": board.card_type, "firmware": board.firmware} for board in boards()],
        "metal_checkout": checkout_of(os.environ.get("TT_METAL_HOME")),
        "versions": versions,
    }


def _read(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def main(report: Path) -> int:
    """Run in this process; the report is written after every check, so that a hang leaves what came before it."""

    def leave(_number: int, _frame: object) -> None:
        raise SystemExit(143)

    signal.signal(signal.SIGTERM, leave)
    result = acceptance(
        lambda line: print(line, file=sys.stderr, flush=True),
        lambda checks: write_json_atomically(report, {"schema": 1, "checks": [asdict(check) for check in checks]}),
    )
    write_json_atomically(report, result.as_json())
    return 0 if result.passed else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
