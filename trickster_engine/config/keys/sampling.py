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
        effect="Choose a beginning that occurs in the corpus: a speaker's name for plays, `def ` for Python. "
        "Where the text is documents, it begins one, and may be empty.",
        examples=("ROMEO:", "JULIET:", "def "),
    )
    max_new_tokens: int = key(
        200,
        doc="How many tokens to generate after the prompt.",
        effect="A longer sample shows more and makes each evaluation slower. It may exceed max_seq_len: the window "
        "slides.",
        unit="tokens",
        minimum=1,
        maximum=1_000_000,
        examples=(200, 500),
    )
    temperature: float = key(
        0.8,
        doc="Sampling temperature: higher means higher entropy, more unlikely tokens. 0 is greedy: always the "
        "likeliest.",
        effect="0.5 repeats itself, 1 samples the model's own probabilities, at 1.5 spelling falls apart. Below 0.001 "
        "it counts as 0.",
        minimum=0,
        maximum=100,
        examples=(0.0, 0.5, 0.8, 1.0),
    )
    top_k: int = key(
        0,
        doc="Top-k: sample only from this many of the likeliest tokens. 0 switches it off.",
        effect="Small values avoid errors, and reduce variety.",
        unit="tokens",
        minimum=0,
        maximum=1_000_000,
        examples=(0, 40, 200),
        counts_when=Condition("sampling_config.temperature", (0,), negated=True),
    )
    top_p: float = key(
        1.0,
        doc="Top-p (nucleus sampling): sample only from the likeliest tokens that together have this probability. 1 "
        "switches it off.",
        effect="Like top_k, but it keeps more tokens where the model is unsure and fewer where it is sure.",
        above=0,
        maximum=1,
        examples=(0.9, 0.95, 1.0),
        counts_when=Condition("sampling_config.temperature", (0,), negated=True),
    )
    repetition_penalty: float = key(
        1.0,
        doc="Repetition penalty: makes tokens that already occurred less likely. 1 switches it off.",
        effect="1.1 to 1.3 breaks loops. With characters or bytes as tokens it soon spoils the spelling.",
        minimum=0.01,
        limit_reason="With a smaller one the predictions would overflow 32-bit numbers.",
        maximum=100,
        examples=(1.0, 1.1),
    )
    seed: int = key(
        1337,
        doc="Random seed of sampling.",
        effect="The same seed, prompt and weights generate the same text.",
        minimum=0,
        maximum=4_294_967_295,
        examples=(1337,),
    )
