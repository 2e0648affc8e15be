"""`python -m trickster_engine` is the `trickster` command."""

import sys

from trickster_engine.cli import main

sys.exit(main())
