"""Trickster's training engine: from one YAML file to a transformer that has learned."""

__version__ = "0.1.0"
