"""What only a GPU can show. `acceptance.sh` runs all of it; with TRICKSTER_DEVICE=cpu the same code runs on a CPU."""
