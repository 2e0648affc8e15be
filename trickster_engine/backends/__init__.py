"""The engines that can run a training step: torch, and Tenstorrent's ttml."""
