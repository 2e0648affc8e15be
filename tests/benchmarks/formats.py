"""`python -m tests.benchmarks.formats`: what a large file of compressed records and many small files cost to prepare.

Writes a `.jsonl.zst` of the size asked for, compressed, then prepares it in a process of its own, stopped by Ctrl-C in
the middle of unpacking and of encoding where `--interrupt` says so, and prints times and the peak memory of every
process. Then the same for a folder of small files. Takes about seven times the file's size in disk, and removes it.
`--record docs/text/formats.json` keeps the figures of docs/text.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.gigabytes import PREPARE, Watch, generate
from trickster_engine.system.unpacking import zstd_module

# What a shell starts in the background does not hear Ctrl-C.
_HEARS = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"


def write_records(path: Path, size: int) -> int:
    """Write records until the file has `size` bytes; return how many bytes of text are in it."""
    plain = path.with_name("text.txt")
    generate(plain, 64_000_000)
    paragraphs = plain.read_text(encoding="ascii").split(".\n")
    plain.unlink()
    text = number = 0
    with path.open("wb") as raw, zstd_module().ZstdFile(raw, "w", level=1) as stream:
        while raw.tell() < size:
            lines = []
            for _ in range(10_000):
                start = number * 7_919 % (len(paragraphs) - 12)
                body = f"{number} " + ".\n".join(paragraphs[start : start + 12])
                lines.append(json.dumps({"id": number, "body": body}))
                text += len(body) + 1
                number += 1
            stream.write(("\n".join(lines) + "\n").encode())
    return text


def prepare(folder: Path, stop_at: str = "") -> dict[str, Any]:
    """Prepare in a process; stop it as Ctrl-C does once a file of `stop_at`, `PATTERN:COUNT`, has so many lines.

    Returns what was measured: `seconds`, `peaks` of memory in bytes, one for each process, and of all `together`, what
    was `shown` of the progress, and what the process said of its `result`, nothing where it was stopped.
    """
    start = time.perf_counter()
    errors = (folder / "errors.txt").open("w+")
    process = subprocess.Popen(
        [sys.executable, "-c", _HEARS + PREPARE.replace("progress=False", "progress=True"), str(folder)],
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
    )
    watch = Watch(process.pid)
    watch.start()
    pattern, _, count = stop_at.partition(":")
    while stop_at and process.poll() is None:
        found = [line for path in (folder / "cache" / "datasets").glob(pattern) for line in path.open()]
        if len(found) >= int(count):
            process.send_signal(signal.SIGINT)
            break
        time.sleep(0.05)
    output, _ = process.communicate()
    watch.over.set()
    watch.join()
    memory = ", ".join(f"{peak / 1e6:.0f}" for peak in sorted(watch.peaks.values(), reverse=True))
    print(f"  {time.perf_counter() - start:.1f} s, peak of each process {memory} MB; all together at most", end=" ")
    print(f"{watch.together / 1e6:.0f} MB", flush=True)
    with errors:
        errors.seek(0)
        shown = sorted(set(re.findall(r"([A-Z][a-z]+ [^:\r\n]*): +[1-9]\d*%", errors.read())))
    result = json.loads(output.splitlines()[-1]) if output.endswith("}\n") else None
    seconds, peaks = time.perf_counter() - start, sorted(watch.peaks.values(), reverse=True)
    return {"seconds": seconds, "peaks": peaks, "together": watch.together, "shown": shown, "result": result}


def config(folder: Path, data: str) -> None:
    """Write a config beside the text."""
    (folder / "config.yaml").write_text(
        "model_config: {vocab_size: 256, hidden_dim: 64, num_layers: 1, num_heads: 1, max_seq_len: 128}\n"
        f"device_config: {{device_type: cpu}}\ndata_config: {{{data}}}\n"
    )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2.0, help="of the compressed file")
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--folder", type=Path, default=Path("formats"))
    parser.add_argument("--interrupt", action="store_true")
    parser.add_argument("--record", type=Path, metavar="FILE", help="keep the figures")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["TRICKSTER_CACHE_DIR"] = str(folder / "cache")
    kept: dict[str, Any] = {"processors": os.cpu_count()}
    corpus, size = folder / "corpus.jsonl.zst", int(options.gigabytes * 1e9)
    try:
        if size and (not corpus.exists() or corpus.stat().st_size < size):
            text = write_records(corpus, size)
            kept["records"] = {"compressed": corpus.stat().st_size, "text": text}
            print(f"wrote {corpus.stat().st_size / 1e9:.2f} GB, {text / 1e9:.2f} GB of text", flush=True)
        if size:
            config(folder, "corpus: corpus.jsonl.zst, text_field: body")
            if options.interrupt:
                for journal in ("text-0", "scan", "tokens"):
                    print(f"preparing, stopped when {journal}.jsonl has 10 lines")
                    stopped = prepare(folder, f".preparing-*/{journal}.jsonl:10")
                    kept.setdefault("stopped", {})[journal] = stopped
            print("preparing to the end")
            kept["to the end"] = prepare(folder)
            print(f"  {kept['to the end']}")
            shutil.rmtree(folder / "cache")
        if options.files:
            texts = folder / "texts"
            generate(folder / "text.txt", options.files * 3_000)
            lines = (folder / "text.txt").read_text(encoding="ascii").split(".\n")
            for number in range(options.files):
                path = texts / f"{number % 200:03d}" / f"{number:05d}.txt"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(".\n".join(lines[number * 30 : number * 30 + 30]), encoding="ascii")
            config(folder, "corpus: texts")
            print(f"preparing {options.files:,} files")
            kept["files"] = {"count": options.files, **prepare(folder)}
            print(f"  {kept['files']}")
        if options.record is not None:
            options.record.parent.mkdir(exist_ok=True)
            options.record.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    finally:
        if not options.keep:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
