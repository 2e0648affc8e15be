"""The Language Server Protocol: framing, dispatch, positions, and our own messages."""
