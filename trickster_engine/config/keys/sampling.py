"""The keys of `sampling_config`: the text generated at each evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from trickster_engine.config.keys.spec import Condition, key


@dataclass(frozen=True)
class SamplingConfig:
    """`sampling_config`: the text generated at each evaluation, and the defaults of `trickster sample`."""

    prompt: str = key(
        "ROMEO:",
        doc="The text that the model continues.",
        effect="Give it something that looks like the corpus: a speaker's name for plays, `def ` for Python.",
        examples=("ROMEO:", "JULIET:", "def "),
    )
    max_new_tokens: int = key(
        200,
        doc="How many tokens are written after the prompt.",
        effect="Longer shows more and takes longer at each evaluation. It may exceed max_seq_len: the window slides.",
        unit="tokens",
        minimum=1,
        maximum=1_000_000,
        examples=(200, 500),
    )
    temperature: float = key(
        0.8,
        doc="How adventurous the choice of the next token is. 0 always takes the likeliest.",
        effect="0.5 is careful and repeats itself, 1 follows the model's own probabilities, 1.5 is wild. Below "
        "0.001 it counts as 0.",
        minimum=0,
        maximum=100,
        examples=(0.0, 0.5, 0.8, 1.0),
    )
    top_k: int = key(
        0,
        doc="Choose among this many likeliest tokens only. 0 switches it off.",
        effect="Small values cut off blunders, and variety with them.",
        unit="tokens",
        minimum=0,
        maximum=1_000_000,
        examples=(0, 40, 200),
        counts_when=Condition("sampling_config.temperature", (0,), negated=True),
    )
    top_p: float = key(
        1.0,
        doc="Choose among the likeliest tokens that together have this probability. 1 switches it off.",
        effect="Like top_k, but wide where the model is unsure and narrow where it is sure.",
        above=0,
        maximum=1,
        examples=(0.9, 0.95, 1.0),
        counts_when=Condition("sampling_config.temperature", (0,), negated=True),
    )
    repetition_penalty: float = key(
        1.0,
        doc="Makes tokens that were already written less likely. 1 switches it off.",
        effect="1.1 to 1.3 breaks loops. With single characters as tokens it soon spoils spelling.",
        minimum=0.01,
        limit_reason="A smaller one divides predictions into numbers that 32 bits cannot hold.",
        maximum=100,
        examples=(1.0, 1.1),
    )
    seed: int = key(
        1337,
        doc="Where the dice of sampling start.",
        effect="The same seed, prompt and weights write the same text.",
        minimum=0,
        maximum=4_294_967_295,
        examples=(1337,),
    )
