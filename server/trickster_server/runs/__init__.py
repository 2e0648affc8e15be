"""Runs as the server sees them: directories that are found, read, followed; processes that are started beside it."""
