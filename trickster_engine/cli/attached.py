"""The command line for as long as the one who started it lives: `python -m trickster_engine.cli.attached COMMAND …`."""

from __future__ import annotations

from trickster_engine.cli import main
from trickster_engine.system.lifeline import end_with_starter, end_with_stdin

if __name__ == "__main__":
    end_with_stdin()
    end_with_starter()
    raise SystemExit(main())
