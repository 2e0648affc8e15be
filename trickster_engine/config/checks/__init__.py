"""Rules about keys that are valid alone but do not go together. Importing this package registers them all.

A rule is named after what should hold; why it should is said under the code of its problem, in docs/problems.md.
"""

from trickster_engine.config.checks import alerts, corpus, data, device, model, start, teacher, training

__all__ = ["alerts", "corpus", "data", "device", "model", "start", "teacher", "training"]
