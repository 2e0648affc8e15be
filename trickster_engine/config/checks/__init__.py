"""Rules about keys that are valid alone but do not go together. Importing this package registers them all."""

from trickster_engine.config.checks import corpus, data, device, model, training

__all__ = ["corpus", "data", "device", "model", "training"]
