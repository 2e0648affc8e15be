"""Preparing texts too large for one process."""
