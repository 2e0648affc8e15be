"""`python -m trickster_engine` is the `trickster` command."""

import sys

from trickster_engine.system.programs import search_absolute_folders


def main() -> int:
    """Run the command line, which starts nothing from the folder one stands in."""
    search_absolute_folders()
    from trickster_engine.cli import main as command_line

    return command_line()


if __name__ == "__main__":
    sys.exit(main())
