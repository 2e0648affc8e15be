"""The transformer, and the directory it is kept in."""
