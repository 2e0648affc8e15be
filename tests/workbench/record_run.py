"""record_run.py RUN CONFIG STEPS [SECONDS [BYTES]]: writes a run's directory without training.

It is as the trainer writes it: one step event a step, an evaluation and a sample twenty times. With SECONDS the run is
live for that long and its events come evenly spread; with 0 or without, it is finished. BYTES a token, 1 where
left out, make its losses as many times as large, which is the same in bits per byte.
"""

from __future__ import annotations

import math
import random
import sys
import time
from pathlib import Path

from trickster_engine.runs import CONFIG_FILE, EventLog, RunDirectory, RunIdentity, RunLock
from trickster_engine.system.processes import this_process


def main() -> None:
    """Write it."""
    run = RunDirectory(Path(sys.argv[1]))
    config = Path(sys.argv[2]).resolve()
    steps = int(sys.argv[3])
    seconds = float(sys.argv[4]) if len(sys.argv) > 4 else 0.0
    size = float(sys.argv[5]) if len(sys.argv) > 5 else 1.0
    train, val = 108_000, 12_000
    run.path.mkdir(parents=True)
    text = config.read_text(encoding="utf-8")
    text = "\n".join(
        f"  max_steps: {steps}" if line.strip().startswith("max_steps") else line for line in text.splitlines()
    )
    (run.path / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
    process = this_process()
    run.write_identity(
        RunIdentity(
            id=run.path.name,
            config_path=str(config),
            created=time.time() - steps * 0.02,
            host=process.host,
            pid=process.pid,
            pid_started=process.started,
            backend="torch",
            device="cpu",
            precision="fp32",
            versions={},
            data={
                "name": "corpus.txt",
                "fingerprint": f"in tokens of {size:g}",
                "train_tokens": round(train / size),
                "val_tokens": round(val / size),
                "train_characters": train,
                "val_characters": val,
                "bytes_per_token": size,
            },
            parameters=58_608,
            baselines={
                "uniform": size * math.log(256),
                "unigram": size * 3.25,
                "bigram": size * 2.49,
                "trigram": size * 1.77,
            },
        )
    )
    noise = random.Random(run.path.name)
    with RunLock(run.path):
        log = EventLog(run.events_path)
        begin = time.time()
        log.write({"t": begin, "kind": "status", "status": "training", "step": 0, "message": None})
        for step in range(steps + 1):
            now = begin + (seconds or steps * 0.02) * step / steps
            if seconds and step % 100 == 0:
                time.sleep(max(0.0, now - time.time()))
            loss = size * (1.4 + 4.1 * math.exp(-12 * step / steps) + noise.gauss(0, 0.08))
            if step:
                log.write(
                    {
                        "t": now,
                        "kind": "step",
                        "step": step,
                        "loss": loss,
                        "lr": 3e-3 * (1 - step / steps),
                        "grad_norm": abs(noise.gauss(0.5, 0.1)),
                        "tokens_per_s": noise.gauss(20_000, 500),
                        "eta_s": (steps - step) * 0.02,
                        "mfu": None,
                    }
                )
            if step % (steps // 20) == 0:
                value = size * (1.5 + 4.0 * math.exp(-12 * step / steps))
                log.write(
                    {
                        "t": now,
                        "kind": "eval",
                        "step": step,
                        "train_loss": value - size * 0.1 * step / steps,
                        "val_loss": value,
                        "perplexity": math.exp(value),
                    }
                )
                words = "".join(noise.choice("etaoin shrdlu\n") for _ in range(80))
                log.write({"t": now, "kind": "sample", "step": step, "prompt": "The ", "text": words})
        log.write({"t": time.time(), "kind": "status", "status": "finished", "step": steps, "message": None})
        log.close()


if __name__ == "__main__":
    main()
