"""`python -m tests.device.summary OUT`: what `acceptance.sh` found, on a screen."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def lines(out: Path) -> list[str]:
    """The summary."""
    steps = ", ".join(f"{step['step']} {step['code']} ({step['seconds']} s)" for step in _lines(out / "steps.jsonl"))
    told = [f"steps: {steps}"]
    tests = _lines(out / "suite.jsonl")
    told.append(f"tests: {sum(test['outcome'] == 'passed' for test in tests)} of {len(tests)} passed")
    for test in tests:
        if test["outcome"] == "failed":
            told.append(f"  FAILED {test['test']}: {(test['text'].strip().splitlines() or [''])[-1][:150]}")
        elif test["found"]:
            told.append(f"  {test['test']}: {json.dumps(test['found'])[:200]}")
    for name, figures in _read(out / "speed.json").items():
        against = figures.get("against", {}).get("times_as_fast", {}).get("median")
        rate = figures["tokens_per_s"]["median"]
        told.append(f"{name}: {rate:,.0f} tokens/s, {figures['utilisation']:.1%} of the peak, {against} x nanoGPT")
    for name, result in _read(out / "races.json").items():
        if "best_val_loss" in result:
            told.append(f"{name}: {json.dumps(result.get('reached'))}, {result.get('times_as_fast')} x nanoGPT")
    for preset, pairs in _read(out / "options.json").items():
        for name, pair in pairs.items():
            told.append(f"{preset}, {name}: {pair['times_as_fast']['median']:.2f} times as fast")
    for name, figures in _read(out / "trainer.json").items():
        told.append(f"{name}: {figures['times_as_fast']['median']:.2f} x transformers' Trainer")
    for name, figures in _read(out / "predictions.json").items():
        told.append(f"{name}: predicted {figures['predicted_s']} s, took {figures['took_s']:.1f} s")
    for name, figures in _read(out / "profile.json").items():
        told.append(f"{name}: {1e3 * figures['seconds']:.1f} ms an update, idle {figures['idle']:.0%}")
        told += [f"    {top['ms']:8.2f} ms {top['count']:5d} x {top['name'][:80]}" for top in figures["top"][:5]]
    return told


if __name__ == "__main__":
    print("\n".join(lines(Path(sys.argv[1]))))
