"""What a model has learned, beside baselines and beside its untrained twin."""
