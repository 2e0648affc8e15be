"""`python -m tests.benchmarks.gigabytes`: what a text of many gigabytes costs to prepare and to train on.

Writes generated text of the size asked for, then prints, in processes of their own: the time and speed of preparing it,
the peak memory of every process that took part, the time to go on after a kill in mid-preparation, the same speed of
the plain `tokenizers` library on a slice, and the peak memory of a few steps of training. Takes the text's size in disk
twice over, and removes what it wrote.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

LETTERS = np.frombuffer(b"etaoinshrdlucmfwypvbgkjqxz", dtype=np.uint8)
VOCABULARY = 200_000
LINES = 400_000

PREPARE = """
import json, pathlib, sys, time
from trickster_engine.config import check
from trickster_engine.data.prepare import prepare
from trickster_engine.system.processes import peak_memory
folder = pathlib.Path(sys.argv[1])
plan = check((folder / "config.yaml").read_text(), folder).plan
start = time.perf_counter()
dataset = prepare(plan, folder, progress=False)
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "peak": peak_memory(), "tokens": len(dataset.train) + len(dataset.val),
                  "vocabulary": dataset.tokenizer.vocab_size, "directory": str(dataset.directory),
                  "fingerprint": dataset.fingerprint}))
"""

PLAIN = """
import json, sys, time
from tokenizers import Tokenizer
library = Tokenizer.from_file(sys.argv[1])
text = open(sys.argv[2], "rb").read(int(sys.argv[3])).decode("utf-8", "ignore")
pieces = [piece + "\\n" for piece in text.split("\\n")]
start = time.perf_counter()
tokens = 0
for first in range(0, len(pieces), 10000):
    encoded = library.encode_batch(pieces[first : first + 10000], add_special_tokens=False)
    tokens += sum(len(piece.ids) for piece in encoded)
print(json.dumps({"seconds": time.perf_counter() - start, "tokens": tokens, "bytes": len(text)}))
"""


def generate(path: Path, size: int) -> None:
    """Write lines of words that are as unequally frequent as those of a language (Zipf), in endless new orders."""
    rng = np.random.default_rng(1)
    lengths = np.clip(rng.poisson(4.5, VOCABULARY) + 1 + np.log10(np.arange(VOCABULARY) + 10).astype(int) - 1, 1, 16)
    weights = 1 / np.arange(1, 27) ** 0.7
    spelled = rng.choice(LETTERS, lengths.sum(), p=weights / weights.sum()).tobytes()
    ends = np.cumsum(lengths)
    words = np.array([spelled[end - length : end] for end, length in zip(ends, lengths, strict=True)], dtype=object)
    share = 1 / np.arange(1, VOCABULARY + 1)
    drawn = words[rng.choice(VOCABULARY, LINES * 12, p=share / share.sum())]
    lines = [b" ".join(drawn[start : start + 12]) + b".\n" for start in range(0, len(drawn), 12)]
    paragraphs = [b"".join(lines[start : start + 20]) for start in range(0, LINES, 20)]
    with path.open("wb") as stream:
        while size > 0:
            block = b"".join(paragraphs[index] for index in rng.integers(0, len(paragraphs), 10_000).tolist())
            stream.write(block[:size])
            size -= len(block)


class Watch(threading.Thread):
    """Notes the peak memory of a process and of all that it starts, by asking /proc."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.peaks: dict[int, int] = {}  # bytes, VmHWM
        self.together = 0  # bytes, the largest sum of proportional shares seen
        self.files = 0
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.25):
            together = 0
            for pid in [self.pid, *children(self.pid)]:
                try:
                    status = Path(f"/proc/{pid}/status").read_text()
                    shares = Path(f"/proc/{pid}/smaps_rollup").read_text()
                except OSError:
                    continue
                for line in status.splitlines():
                    if line.startswith("VmHWM"):
                        self.peaks[pid] = max(self.peaks.get(pid, 0), int(line.split()[1]) * 1024)
                for line in shares.splitlines():
                    if line.startswith("Pss:"):
                        together += int(line.split()[1]) * 1024
            self.together = max(self.together, together)


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def run(script: str, *arguments: str, kill_when: Path | None = None, share: float = 0.5) -> dict[str, object] | None:
    """Run a script and return what it prints; kill it when `share` of the files it is to write are there."""
    process = subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True)
    watch = Watch(process.pid)
    watch.start()
    if kill_when is not None:
        while process.poll() is None:
            written = [line for path in kill_when.glob(".preparing-*/tokens.jsonl") for line in path.open()]
            scanned = [line for path in kill_when.glob(".preparing-*/scan.jsonl") for line in path.open()]
            if scanned and len(written) >= share * len(scanned):
                process.kill()
            time.sleep(0.05)
    output, _ = process.communicate()
    watch.over.set()
    watch.join()
    memory = ", ".join(f"{peak / 1e6:.0f}" for peak in sorted(watch.peaks.values(), reverse=True))
    print(f"  peak of each process {memory} MB; all together at most {watch.together / 1e6:.0f} MB")
    return json.loads(output.splitlines()[-1]) if output.endswith("}\n") else None


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--tokenizer", choices=("byte", "bpe"), default="byte")
    parser.add_argument("--vocabulary", type=int, default=32_000)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--slice", type=float, default=100, help="megabytes for the plain library")
    parser.add_argument("--folder", type=Path, default=Path("gigabytes"))
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["TRICKSTER_CACHE_DIR"] = str(folder / "cache")
    corpus, size = folder / "corpus.txt", int(options.gigabytes * 1e9)
    vocabulary = 256 if options.tokenizer == "byte" else options.vocabulary
    (folder / "config.yaml").write_text(
        f"model_config: {{vocab_size: {vocabulary}, hidden_dim: 128, num_layers: 4, num_heads: 4, mlp_dim: 384, "
        f"max_seq_len: 128, dropout: 0.0}}\n"
        f"training_config: {{batch_size: 16, gradient_accumulation_steps: 1, max_steps: {options.steps}, "
        f"warmup_steps: 1, eval_interval: {options.steps}}}\n"
        f"device_config: {{device_type: cpu}}\n"
        f"data_config: {{corpus: corpus.txt, tokenizer: {options.tokenizer}}}\n"
    )
    try:
        if not corpus.exists() or corpus.stat().st_size != size:
            start = time.perf_counter()
            generate(corpus, size)
            print(f"wrote {size / 1e9:.1f} GB of text in {time.perf_counter() - start:.0f} s")
        time.sleep(3)  # a file that changed a moment ago is read again the next time
        print(f"preparing ({options.tokenizer}, {os.cpu_count()} cores)")
        whole = run(PREPARE, str(folder))
        assert whole is not None
        seconds, tokens = float(str(whole["seconds"])), int(str(whole["tokens"]))
        print(
            f"  {seconds:.1f} s: {size / seconds / 1e6:.1f} MB/s, {tokens / seconds / 1e6:.2f} million tokens/s, "
            f"{tokens:,} tokens of a vocabulary of {whole['vocabulary']:,}"
        )
        print("training")
        start = time.perf_counter()
        command = "import sys; from trickster_engine.cli import main; sys.exit(main(sys.argv[1:]))"
        run(command, "train", str(folder / "config.yaml"), "--run-dir", str(folder / f"run-{time.time():.0f}"))
        print(f"  {time.perf_counter() - start:.1f} s for {options.steps} steps, evaluations and all")

        tokenizer = str(Path(str(whole["directory"])) / "tokenizer.json")
        plain = run(PLAIN, tokenizer, str(corpus), str(int(options.slice * 1e6)))
        assert plain is not None
        took, read = float(str(plain["seconds"])), int(str(plain["bytes"]))
        print(
            f"plain tokenizers' encode_batch, {options.slice:.0f} MB: {read / took / 1e6:.1f} MB/s, "
            f"{int(str(plain['tokens'])) / took / 1e6:.2f} million tokens/s"
        )
        shutil.rmtree(folder / "cache")
        print("preparing, killed when half of the tokens are written")
        run(PREPARE, str(folder), kill_when=folder / "cache" / "datasets")
        print("going on")
        again = run(PREPARE, str(folder))
        assert again is not None
        print(
            f"  {float(str(again['seconds'])):.1f} s, the same tokens: {again['fingerprint'] == whole['fingerprint']}"
        )
        again = run(PREPARE, str(folder))
        assert again is not None
        print(f"prepared already: {float(str(again['seconds'])):.2f} s")
    finally:
        if not options.keep:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
