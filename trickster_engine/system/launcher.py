"""Runs a module of Trickster's: `python …/trickster_engine/system/launcher.py MODULE ARGUMENT …`.

`python -m` looks for modules in the folder one stands in first, and there a stranger's `random.py` may lie. Python can
be told to leave that folder out only since 3.11; started through this file, any Python does.
"""

import os
import sys


def main() -> None:
    """Run the module that the first argument names, with the arguments after it."""
    home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120
    # An entry that is empty or relative has stood for the folder one stands in since Python started.
    for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        if not os.path.isabs(entry) and os.path.abspath(entry) in sys.path:  # noqa: PTH100, PTH117
            sys.path.remove(os.path.abspath(entry))  # noqa: PTH100
    # This engine and no other that is installed; but what lies beside it comes after Python's own modules.
    sys.path.insert(0, home)
    from trickster_engine.system.programs import search_absolute_folders

    del sys.path[0]
    if home not in sys.path:
        sys.path.append(home)
    search_absolute_folders()
    import runpy

    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    # Python has put the folder of this file first, where `files` and `units` are no modules by themselves.
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        del sys.path[0]
    main()
