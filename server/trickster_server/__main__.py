"""The command `trickster-server`: the language server over standard input and output."""

from __future__ import annotations

import gc
import sys


def main() -> int:
    """Serve one client. Returns the exit code."""
    if tuple(sys.version_info) < (3, 10):
        sys.stderr.write(f"Trickster's language server needs Python 3.10 or newer; this is {sys.version.split()[0]}.\n")
        return 78
    if sys.argv[1:] in (["--help"], ["-h"]):
        print(
            "usage: trickster-server\n\nTrickster's language server. It speaks the Language Server Protocol over "
            "standard input and output;\nan editor starts it. docs/protocol.md lists Trickster's own messages."
        )
        return 0
    from trickster_engine.system.programs import search_absolute_folders

    search_absolute_folders()
    # Thousands of classes are made while the packages load, and all of them stay: nothing there is worth collecting.
    gc.disable()
    try:
        from trickster_server.lsp.import_speedup import load_protocol_types

        load_protocol_types()
        from trickster_server.server import main as serve
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"Trickster's language server cannot start: the package {error.name} is missing in {sys.executable}.\n"
            "Install pygls, lsprotocol and PyYAML there, or choose another interpreter.\n"
        )
        return 78
    return serve()


if __name__ == "__main__":
    raise SystemExit(main())
