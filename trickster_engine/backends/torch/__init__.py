"""Training with PyTorch, in one process or several."""
