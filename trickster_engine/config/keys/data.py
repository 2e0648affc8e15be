"""The keys of `data_config`: the text, and how it becomes tokens."""

from __future__ import annotations

from dataclasses import dataclass

from trickster_engine.config.keys.spec import Condition, key
from trickster_engine.config.patterns import Selection


@dataclass(frozen=True)
class CorpusSource:
    """One of several texts to train on."""

    path: str  # a name or a path, as `corpus` takes it
    weight: int = 1  # how many times its training part is in the training text


@dataclass(frozen=True)
class DataConfig:
    """`data_config`: the text, and how it becomes tokens.

    Paths are relative to the folder of the config file.
    """

    corpus: str | tuple[CorpusSource, ...] = key(
        "shakespeare",
        doc="The text to train on: a name below, any UTF-8 text file, or a folder or zip archive of them; "
        "compressed as .gz, .bz2, .xz or .zst if you like; records of .jsonl, .csv, .parquet and .arrow with "
        "`text_field`. Or a list of several: `[{path: a.txt, weight: 2}, {path: notes}]`.",
        effect="More text is the best remedy for overfitting. A model learns the style of its text: plays, code, "
        "recipes. Of several, each is split by `val_fraction`; its training part is read `weight` times in an epoch, "
        "a whole number, 1 if left out.",
        suggestions={
            "shakespeare": "Tiny Shakespeare: 1,115,394 characters of plays, downloaded once and verified.",
            "python": "The Python files of this machine's standard library: available without a network.",
        },
        examples=("shakespeare", "python", "data/my_text.txt"),
        counts_when=Condition("data_config.train_data", (None,)),
        type="sources",
        other_names=("data_path", "dataset"),
    )
    include: tuple[str, ...] = key(
        (),
        doc="Which files of a folder or zip archive are text, as patterns for their paths below it. Without it, those "
        "whose ending is that of text.",
        effect='`"*.log"` is a name in any folder, `"notes/*.txt"` are files of one folder, `"src/**/*.py"` those of '
        "all below it.",
        examples=(("*.txt", "*.log"), ("src/**/*.py",)),
        type="patterns",
    )
    exclude: tuple[str, ...] = key(
        (),
        doc="Which files of a folder or zip archive are left out, as patterns like those of `include`.",
        effect='It wins over `include`. `"drafts/"` is all that is in a folder.',
        examples=(("drafts/", "*.min.js"),),
        type="patterns",
    )
    tokenizer: str = key(
        "byte",
        doc="The tokenizer: how text becomes numbers (tokens). One of three, or the folder of a `tokenizer.json`.",
        effect="Larger tokens make sequences shorter and the vocabulary larger. Byte and char models learn to spell; "
        "bpe models start from subwords.",
        suggestions={
            "byte": "Each byte of UTF-8 is a token: 256 of them, and any text works.",
            "char": "Each distinct character of the corpus is a token: 65 for Shakespeare.",
            "bpe": "Subwords: frequent sequences learned from the corpus (an even sample of a large one) until there "
            "are vocab_size tokens.",
        },
        examples=("byte", "char", "bpe", "./my-model"),
        type="path",
        other_names=("tokenizer_type",),
    )
    val_fraction: float = key(
        0.1,
        doc="Fraction of the text used as validation text: never trained on, only measured on. It is the end of a text "
        "that is one stream; of documents, whole ones are chosen, the same in every run.",
        effect="Validation text distinguishes learning from memorising. A tenth is usual.",
        minimum=1e-6,
        limit_reason="Less than this is too little text to measure on.",
        below=1,
        examples=(0.05, 0.1),
        counts_when=Condition("data_config.train_data", (None,)),
    )
    line_ends: str = key(
        "keep",
        doc="How line ends are read. Files from Windows use CR and LF, those from old Macs use CR.",
        effect="With keep, a CR is a separate character that the model learns to generate. The files do not change.",
        choices={
            "keep": "As in the files.",
            "lf": "Each CR LF and each single CR is read as one LF.",
        },
    )
    documents: str = key(
        "stream",
        doc="What a document is. The end of each becomes a token of its own, `<|endoftext|>`: generation begins behind "
        "it and stops at it.",
        effect="With documents the model learns where a text begins and ends, and validation is on whole documents. "
        "The tokenizer has one token more: 257 for byte.",
        choices={
            "stream": "There are none: all text is one stream, and its end is validation text.",
            "files": "Each file is a document.",
            "lines": "Each line is a document; empty lines are none.",
            "separated": "What is between two `document_separator` is a document; a file's end ends it too.",
        },
    )
    document_separator: str = key(
        "<|endoftext|>",
        doc="What separates documents, as it stands in the text: no pattern, and at least one character.",
        effect='It is no part of the documents, and neither are line ends around it. "\\n\\n" in double quotes is an '
        "empty line.",
        examples=("<|endoftext|>", "\n\n", "%%%%"),
        counts_when=Condition("data_config.documents", ("separated",)),
    )
    text_field: str | None = key(
        None,
        doc="Which field of a record is its text: of each line in .jsonl files, of each row in .csv, .parquet and "
        ".arrow files. `a.b` is the field b in the object a.",
        effect="Such files are not read without it. Other fields are not read; records whose text is empty or null are "
        "left out and counted.",
        examples=("text", "content", "message.text"),
        default_note="no files of records are read",
    )
    drop_duplicates: bool = key(
        False,
        doc="Leave out documents that say exactly what an earlier one says.",
        effect="What is repeated is memorised first. A training document that is also a validation document is left "
        "out.",
        counts_when=Condition("data_config.documents", ("stream",), negated=True),
    )
    drop_near_duplicates: bool = key(
        False,
        doc="Leave out documents that nearly say what another one says: of all runs of 24 bytes in both, at least "
        "eight in ten are in both, by MinHash. Needs the package rensa.",
        effect="Of documents that are alike the first stays, as with drop_duplicates, which this includes; none is on "
        "both sides of the split.",
        counts_when=Condition("data_config.documents", ("stream",), negated=True),
    )
    mask_documents: bool = key(
        False,
        doc="Whether attention ends where a document ends, so that no token sees the document before its own.",
        effect="By default a window may hold several documents, and attention sees all of it. Masking takes more time, "
        "and is for torch alone.",
        counts_when=Condition("data_config.documents", ("stream",), negated=True),
    )
    train_data: str | None = key(
        None,
        doc="Text that is already split: the lesson's train.pt, or a text file. With val_data it replaces corpus.",
        effect="Use it to train on exactly the tensors of the lesson's scripts. Otherwise omit it and set corpus.",
        examples=("data/train.pt",),
        type="path",
    )
    val_data: str | None = key(
        None,
        doc="The validation text for train_data: the lesson's val.pt, or a text file.",
        effect="Set it together with train_data.",
        examples=("data/val.pt",),
        type="path",
    )

    @property
    def selection(self) -> Selection:
        """Which files of a folder are text."""
        return Selection(self.include, self.exclude, self.text_field is not None)

    @property
    def drops(self) -> bool:
        """Whether only the first of documents that are equal stays."""
        return self.drop_duplicates or self.drop_near_duplicates

    @property
    def sources(self) -> tuple[CorpusSource, ...]:
        """What `corpus` names, one or several."""
        return (CorpusSource(self.corpus),) if isinstance(self.corpus, str) else self.corpus

    @property
    def corpus_name(self) -> str:
        """What `corpus` names, in a word: `notes`, `a.txt x 2 and notes`."""
        return sources_text(self.sources)


def sources_text(sources: tuple[CorpusSource, ...]) -> str:
    """Sources in one line."""
    return " and ".join(f"{one.path} x {one.weight}" if one.weight > 1 else one.path for one in sources)
