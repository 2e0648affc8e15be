"""What this machine and this text say about a config."""
