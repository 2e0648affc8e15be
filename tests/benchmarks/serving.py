"""`python -m tests.benchmarks.serving`: how fast `trickster serve` answers, beside llama.cpp, and what memory it holds.

Serves models of some presets with fresh weights and asks for completions with 1, 8 and 32 clients at once, each asking
again as soon as it has its answer. With `--llama-cpp`, llama.cpp's server is asked the same with the same weights, turn
by turn. Then many short requests follow, while the server's memory is read. `--out` writes JSON;
`tools/bench_page.py` fills docs/serving.md from it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.machine import machine
from trickster_engine.config import preset_plan
from trickster_engine.data.make_tokenizer import byte_tokenizer
from trickster_engine.model.checksums import seal_model
from trickster_engine.model.huggingface import write_model
from trickster_engine.model.llama import Llama

CLIENTS = (1, 8, 32)
PROMPT = "ROMEO:\nWhat say you to this night, my lord"
TOKEN = "benchmark"
TOKENS = 64
SHORT = 8


@contextmanager
def started(command: list[str], sign: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process, once it has said something; and what that was."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    said = ""
    try:
        for line in process.stdout:
            said += line
            if sign in line:
                break
        else:
            raise SystemExit(said)
        yield process, said
    finally:
        process.terminate()
        process.communicate()


async def ask(port: int, model: str, clients: int, requests: int, tokens: int) -> tuple[float, int]:
    """Seconds until so many requests are answered, and the tokens of the answers."""
    numbers = iter(range(requests))
    drawn = 0

    async def client() -> None:
        nonlocal drawn
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            asked = {"model": model, "prompt": PROMPT[: 8 + number % 30], "max_tokens": tokens, "seed": number}
            body = json.dumps({**asked, "temperature": 0.8, "top_k": 0, "top_p": 1.0}).encode()
            head = (
                f"POST /v1/completions HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {TOKEN}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: *(\d+)", answer, flags=re.IGNORECASE)
            assert answer.startswith(b"HTTP/1.1 200") and length, answer
            usage = json.loads(await reader.readexactly(int(length[1])))["usage"]
            drawn += usage["completion_tokens"]
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return time.perf_counter() - began, drawn


def speed(port: int, model: str, clients: int, requests: int) -> float:
    """Tokens/s of all clients together."""
    seconds, drawn = asyncio.run(ask(port, model, clients, requests, TOKENS))
    return drawn / seconds


def resident(port: int) -> float:
    """Bytes of memory that the server holds."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request) as answer:
        found = re.search(r"^process_resident_memory_bytes (\S+)", answer.read().decode(), flags=re.MULTILINE)
    assert found is not None
    return float(found[1])


def spread(values: list[float]) -> dict[str, float]:
    """The median with what it lies between."""
    return {"median": median(values), "lowest": min(values), "highest": max(values)}


def measure(preset: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """One preset's figures."""
    model = Llama(preset_plan(preset).model).initialize(1)
    place = folder / preset
    place.mkdir()
    write_model(place, model.config, {name: tensor.numpy() for name, tensor in model.state_dict().items()})
    byte_tokenizer().save(place)
    seal_model(place)
    command = [sys.executable, "-m", "trickster_engine", "serve", str(place), "--port", "0", "--token", TOKEN]
    found: dict[str, Any] = {"parameters": sum(weight.numel() for weight in model.parameters()), "clients": {}}
    with started(command, "Ctrl-C") as (_, said):
        port = re.search(r"http://127.0.0.1:(\d+)", said)
        assert port is not None
        ports = {"ours": int(port[1])}
        if not options.llama_cpp:
            found["clients"] = compared(ports, preset, options)
        else:
            gguf = folder / f"{preset}.gguf"
            exporting = ["export", str(place), "--to", "gguf", "--output", str(gguf)]
            subprocess.run([sys.executable, "-m", "trickster_engine", *exporting], check=True, capture_output=True)
            ports["llama_cpp"] = ports["ours"] - 1
            context = str(model.config.max_seq_len * max(CLIENTS))
            theirs = ["-m", str(gguf), "--port", str(ports["llama_cpp"]), "-c", context, "-np", str(max(CLIENTS))]
            command = [sys.executable, "-m", "tests.llama_server", *theirs, "--api-key", TOKEN]
            with started(command, "server is listening"):
                found["clients"] = compared(ports, preset, options)
        if options.requests and preset == options.presets[0]:
            found["memory"] = memory(ports["ours"], preset, options.requests)
    return found


def compared(ports: dict[str, int], model: str, options: argparse.Namespace) -> dict[str, Any]:
    """Tokens/s by the number of clients, each server in its turn."""
    found: dict[str, Any] = {}
    for clients in CLIENTS:
        rates: dict[str, list[float]] = {name: [] for name in ports}
        for port in ports.values():
            speed(port, model, clients, clients)  # the first requests make what later ones find
        for _ in range(options.repeats):
            for name, port in ports.items():
                rates[name].append(speed(port, model, clients, clients * options.each))
        found[str(clients)] = {name: spread(values) for name, values in rates.items()}
        if "llama_cpp" in rates:
            pairs = zip(rates["ours"], rates["llama_cpp"], strict=True)
            found[str(clients)]["times_as_fast"] = spread([ours / theirs for ours, theirs in pairs])
        print(model, clients, found[str(clients)], flush=True)
    return found


def memory(port: int, model: str, requests: int) -> dict[str, Any]:
    """What the server holds while it answers so many short requests, read ten times."""
    held = [resident(port)]
    seconds = 0.0
    for _ in range(10):
        seconds += asyncio.run(ask(port, model, max(CLIENTS), requests // 10, SHORT))[0]
        held.append(resident(port))
    print(model, "memory", [round(value / 1e6, 1) for value in held], f"{seconds:.1f} s", flush=True)
    return {"requests": requests, "tokens": SHORT, "seconds": seconds, "resident_bytes": held}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--presets", nargs="+", default=["pico", "nano"])
    parser.add_argument("--repeats", type=int, default=3, help="turns for each number of clients")
    parser.add_argument("--each", type=int, default=2, help="requests of each client in a turn")
    parser.add_argument("--requests", type=int, default=10_000, help="short requests for the memory; 0 for none")
    parser.add_argument("--llama-cpp", action="store_true", help="compare with llama.cpp's server (of xllamacpp)")
    parser.add_argument("--beside", default="", metavar="TEXT", help="what else ran on the machine, for the page")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        presets = {preset: measure(preset, Path(folder), options) for preset in options.presets}
    versions = {name: version(name) for name in ("torch", "uvicorn")}
    place = {**machine(), "versions": versions, "beside": options.beside}
    found = {"machine": place, "tokens": TOKENS, "presets": presets}
    if options.out is not None:
        options.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
