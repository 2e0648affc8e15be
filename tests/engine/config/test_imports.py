"""Checking a config needs PyYAML and nothing heavier, and is there at once."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import json, sys, time
started = time.perf_counter()
cpu = time.process_time()
import trickster_engine.config
from trickster_engine.estimates.estimate import estimate
from trickster_engine.estimates.learning_rate import learning_rate_at
seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
from pathlib import Path
plan = trickster_engine.config.check(trickster_engine.config.preset_text("nano"), Path(".")).plan
estimate(plan).as_json()
learning_rate_at(10, plan.training)
print(json.dumps({"seconds": seconds, "cpu": cpu, "modules": sorted({name.split(".")[0] for name in sys.modules})}))
"""


def test_nothing_heavy_is_imported() -> None:
    found = json.loads(subprocess.run([sys.executable, "-c", SCRIPT], check=True, capture_output=True).stdout)
    heavy = {"torch", "numpy", "safetensors", "tokenizers", "tqdm", "pygls", "lsprotocol", "platformdirs", "jsonschema"}
    assert not heavy & set(found["modules"])
    assert "yaml" in found["modules"]
    assert found["cpu"] < 2, found  # 0.1 s on a quiet machine
