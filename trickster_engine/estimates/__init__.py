"""What a config costs, worked out without running it: parameters, memory, computation, text. No torch here."""

from trickster_engine.estimates.parameters import ParameterCount, count_parameters

__all__ = ["ParameterCount", "count_parameters"]
