"""Kernels in C++ for training on a CPU: one file each, compiled on the user's machine, for its processor."""
