"""How long training takes on this machine."""
