"""How fast this machine trains and generates, and how that compares. See `trickster bench --help`."""
