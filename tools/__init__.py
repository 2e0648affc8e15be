"""Generators of files in this repository. Not shipped."""
