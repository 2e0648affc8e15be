"""Domains in which a text is right or wrong: each with a corpus, and a measure that a program decides."""
