"""llama.cpp's own server, as the wheels of `xllamacpp` carry it, with the few options of `llama-server` that we use.

`python -m tests.llama_server -m MODEL.gguf --port PORT [-c CONTEXT] [-np TEXTS] [--api-key KEY]` prints a line when it
listens, and ends with its standard input.
"""

from __future__ import annotations

import argparse
import os
import sys


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("-c", "--ctx-size", type=int, default=0)
    parser.add_argument("-np", "--parallel", type=int, default=1)
    parser.add_argument("--api-key")
    options = parser.parse_args()
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path = options.model
    settings.port = options.port
    settings.n_ctx = options.ctx_size
    settings.n_parallel = options.parallel
    if options.api_key:
        settings.api_keys = [options.api_key]
    server = xllamacpp.Server(settings)
    print(f"server is listening on {server.listening_address}", flush=True)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # it tells of each request, and perhaps nobody reads that
        os.dup2(nowhere, stream)
    sys.stdin.read()
    del server


if __name__ == "__main__":
    main()
