"""Trickster's language server: a config that explains itself, and runs that are served."""
