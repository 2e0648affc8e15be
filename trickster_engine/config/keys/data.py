"""The keys of `data_config`: the text, and how it becomes tokens."""

from __future__ import annotations

from dataclasses import dataclass

from trickster_engine.config.keys.spec import Condition, key


@dataclass(frozen=True)
class DataConfig:
    """`data_config`: the text, and how it becomes tokens.

    Paths are relative to the folder of the config file.
    """

    corpus: str = key(
        "shakespeare",
        doc="The text to learn from: a name below, or any UTF-8 text file, or a folder of them.",
        effect="More text is the best cure for memorising. A model learns the style of what it reads: plays, code, "
        "recipes.",
        suggestions={
            "shakespeare": "Tiny Shakespeare: 1,115,394 characters of plays, downloaded once and checked.",
            "python": "The Python files of this machine's own standard library: there without a network.",
        },
        examples=("shakespeare", "python", "data/my_text.txt"),
        counts_when=Condition("data_config.train_data", (None,)),
        type="path",
        other_names=("data_path", "dataset"),
    )
    tokenizer: str = key(
        "byte",
        doc="How text becomes numbers.",
        effect="Larger tokens make sequences shorter and the vocabulary larger. Byte and char models spell; bpe "
        "models start from word pieces.",
        suggestions={
            "byte": "Each byte of UTF-8 is a token: 256 of them, any text works.",
            "char": "Each different character of the corpus is a token: about 65 for Shakespeare.",
            "bpe": "Frequent pieces of words, learned from the corpus (an even sample of a large one), until there are "
            "vocab_size of them.",
        },
        examples=("byte", "char", "bpe"),
        type="path",
        other_names=("tokenizer_type",),
    )
    val_fraction: float = key(
        0.1,
        doc="The share of the text, at its end, that is held out: never trained on, only used to measure.",
        effect="Without held-out text learning cannot be told from memorising. A tenth is usual.",
        minimum=1e-6,
        limit_reason="Less of any text that fits a disk is too little to measure on.",
        below=1,
        examples=(0.05, 0.1),
        counts_when=Condition("data_config.train_data", (None,)),
    )
    line_ends: str = key(
        "keep",
        doc="How the ends of lines are read. Files from Windows end them with CR and LF, those of old Macs with CR.",
        effect="Kept, a CR is a character of its own that the model learns to write. The files stay as they are.",
        choices={
            "keep": "As they are in the files.",
            "lf": "Each CR LF and each single CR is read as one LF.",
        },
    )
    train_data: str | None = key(
        None,
        doc="Text that is already split: the lesson's train.pt, or a text file. With val_data it replaces corpus.",
        effect="Use it to train on exactly the tensors of the lesson's scripts. Otherwise leave it out and name a "
        "corpus.",
        examples=("data/train.pt",),
        type="path",
    )
    val_data: str | None = key(
        None,
        doc="The held-out part that goes with train_data: the lesson's val.pt, or a text file.",
        effect="Goes together with train_data.",
        examples=("data/val.pt",),
        type="path",
    )
