"""What a recipe could be instead: the searches of `tests/benchmarks/recipes.py`, variant by variant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: The name of a recipe without a change.
UNCHANGED = "as it is"


@dataclass(frozen=True)
class Stage:
    """A stretch of training: its share of all characters, and the batches in it."""

    share: float
    batch_size: int
    context: int


@dataclass(frozen=True)
class Variant:
    """A change of the recipe: of the config, or of what no config can say."""

    changes: Mapping[str, str] = field(default_factory=dict)
    text: float = 1.0  # times as many characters as the preset reads
    stages: tuple[Stage, ...] = ()
    averages: tuple[float, ...] = ()  # how much of a weight's running mean outlives an update
    initial: float = 1.0  # times the usual size of the random weights
    initial_output: float = 1.0  # the same for the projections that write into the residual stream
    iterations: int = 5  # with which Muon orthogonalises an update
    first_momentum: float | None = None  # from which Muon's momentum climbs over the first fifth
    replaced: float = 0.0  # the share of input tokens that are replaced; what is predicted stays the text's
    replaced_by: str = "any"  # token of the vocabulary; one of the batch's ("text"); or token 0 ("mask")
    replaced_fades: float = 0.0  # over the last so much of the run the share falls to 0
    taught: float = 0.0  # how much of the loss compares with teachers that were trained before
    teachers: int = 1  # the recipe as it is, of another seed, or of so many
    last_decay: float | None = None  # to which weight_decay moves evenly
    cautious: bool = False  # weight decay only where the update goes the same way (arXiv:2510.12402)
    normed_rows: bool = False  # NorMuon's rows of one length
    last_dropout: float | None = None  # dropout grows evenly from 0 to this
    consistency: float = 0.0  # R-drop (arXiv:2106.14448): the weight of the divergence of two passes
    further_tokens: float = 0.0  # the weight at first of predicting the token after the next, 0 from halfway
    counted: float = 0.0  # how much of the loss compares with a 6-gram of the training text at first (arXiv:2403.17240)
    counted_until: float = 0.2  # of the run, where that has fallen to 0
    bpe_dropout: float = 0.0  # of the merges are left out in the training text, each time others (arXiv:1910.13267)
    bpe_dropout_until: float = 1.0  # of the run, after which the text is encoded as it is


def _training(**values: object) -> Variant:
    return Variant({f"training_config.{key}": str(value) for key, value in values.items()})


def _model(**values: object) -> Variant:
    return Variant({f"model_config.{key}": str(value) for key, value in values.items()})


def _bpe(vocabulary: int, text: float = 1.0, batch_size: int = 16) -> Variant:
    changes = {"data_config.tokenizer": "bpe", "model_config.vocab_size": str(vocabulary)}
    return Variant({**changes, "training_config.batch_size": str(batch_size)}, text)


#: Where a search began, in what its preset says otherwise since.
BEGUN: dict[str, Mapping[str, str]] = {
    # Bytes, as best read them then, an eighth of the parameters, on a fifth of the text: it overfits in a minute.
    "best": {
        "model_config.vocab_size": "256",
        "data_config.tokenizer": "byte",
        "training_config.replace_inputs": "0.0",
        "model_config.hidden_dim": "96",
        "model_config.num_layers": "3",
        "model_config.num_heads": "3",
        "model_config.mlp_dim": "288",
        "model_config.max_seq_len": "128",
        "training_config.batch_size": "8",
        "training_config.max_steps": "1500",
        "training_config.warmup_steps": "50",
        "training_config.compile": "always",
        "training_config.precision": "auto",
    },
    # Subwords, and about a fifth of the parameters, on two fifths of the text.
    "subwords": {
        "model_config.vocab_size": "512",
        "model_config.hidden_dim": "128",
        "model_config.num_layers": "4",
        "model_config.num_heads": "4",
        "model_config.mlp_dim": "352",
        "model_config.max_seq_len": "128",
        "training_config.max_steps": "2000",
        "training_config.warmup_steps": "60",
        "training_config.compile": "always",
        "training_config.precision": "fp32",
    },
    "pico": {},
    "fast": {"training_config.muon_learning_rate": "0.02", "training_config.muon_momentum": "0.95"},
}
#: What no preset is needed to say.
COMMON: dict[str, Variant] = {
    "as it is": Variant(averages=(0.9, 0.98, 0.995)),
    "4 iterations in Muon": Variant(iterations=4),
    "3 iterations in Muon": Variant(iterations=3),
    "muon_momentum 0.9": _training(muon_momentum=0.9),
    "muon_momentum 0.85": _training(muon_momentum=0.85),
    "muon_momentum climbs from 0.85": Variant(first_momentum=0.85),
    "muon_learning_rate 0.03": _training(muon_learning_rate=0.03),
    "muon_learning_rate 0.014": _training(muon_learning_rate=0.014),
    "learning_rate 6e-3": _training(learning_rate=6e-3),
    "learning_rate 1.5e-3": _training(learning_rate=1.5e-3),
    "weight_decay 0.3": _training(weight_decay=0.3),
    "weight_decay 0": _training(weight_decay=0.0),
    "beta2 0.99": _training(beta2=0.99),
    "warmup_steps 150": _training(warmup_steps=150),
    "warmup_steps 10": _training(warmup_steps=10),
    "lr_schedule cosine": _training(lr_schedule="cosine"),
    "dropout 0.1": _model(dropout=0.1),
    "2 heads": _model(num_heads=2),
    "8 heads": _model(num_heads=8),
    "random weights twice as large": Variant(initial=2.0),
    "random weights half as large": Variant(initial=0.5),
    "output projections start at zero": Variant(initial_output=0.0),
}
VARIANTS: dict[str, dict[str, Variant]] = {
    "pico": COMMON
    | {
        "half the batch, twice the updates": _training(batch_size=8),
        "twice the batch, half the updates": _training(batch_size=32),
        "batch grows from 8 to 16 halfway": Variant(stages=(Stage(0.5, 8, 128), Stage(0.5, 16, 128))),
        "context grows from 64 to 128 halfway": Variant(stages=(Stage(0.5, 32, 64), Stage(0.5, 16, 128))),
        "context 256": Variant({"model_config.max_seq_len": "256", "training_config.batch_size": "8"}),
        "tokenizer char": Variant({"data_config.tokenizer": "char"}),
        "tokenizer bpe of 512": _bpe(512),
        "tokenizer bpe of 1,024": _bpe(1024),
        "tokenizer bpe of 2,048": _bpe(2048),
        "tokenizer bpe of 1,024, twice the text": _bpe(1024, text=2.0),
        "tokenizer bpe of 1,024, half the batch": _bpe(1024, batch_size=8),
    },
    "fast": COMMON
    | {
        "half the batch, twice the updates": _training(batch_size=4),
        "twice the batch, half the updates": _training(batch_size=16),
        "batch grows from 4 to 8 halfway": Variant(stages=(Stage(0.5, 4, 128), Stage(0.5, 8, 128))),
        "context grows from 64 to 128 halfway": Variant(stages=(Stage(0.5, 16, 64), Stage(0.5, 8, 128))),
        "context 64": Variant({"model_config.max_seq_len": "64", "training_config.batch_size": "16"}),
        "vocabulary of 768": _model(vocab_size=768),
        "vocabulary of 1,536": _model(vocab_size=1536),
        "3 blocks": _model(num_layers=3),
        "mlp_dim 512": _model(mlp_dim=512),
        "twice the text": Variant(text=2.0),
        "muon_momentum 0.9, muon_learning_rate 0.03": _training(muon_momentum=0.9, muon_learning_rate=0.03),
    },
    "best": {
        UNCHANGED: Variant(averages=(0.99, 0.998)),
        "5 % of the inputs replaced by any token": Variant(replaced=0.05),
        "5 % of the inputs replaced by tokens of the text": Variant(replaced=0.05, replaced_by="text"),
        "5 % of the inputs masked": Variant(replaced=0.05, replaced_by="mask"),
        "10 % of the inputs replaced by any token": Variant(replaced=0.1),
        "10 % of the inputs replaced by any token, fading": Variant(replaced=0.1, replaced_fades=0.5),
        "twice the text": Variant(text=2.0),
        "taught by one": Variant(taught=0.5),
        "taught by one, 5 % of the inputs replaced by any token": Variant(taught=0.5, replaced=0.05),
        "taught by three": Variant(taught=0.5, teachers=3),
        "dropout 0.3": _model(dropout=0.3),
        "dropout 0.1": _model(dropout=0.1),
        "dropout grows from 0 to 0.4": Variant(last_dropout=0.4),
        "weight_decay 0.4": _training(weight_decay=0.4),
        "weight_decay 1.2": _training(weight_decay=1.2),
        "weight_decay 0.1 to 1.2": Variant(last_decay=1.2),
        "weight_decay 0.4, cautious": Variant({"training_config.weight_decay": "0.4"}, cautious=True),
        "weight_decay 1.2, cautious": Variant({"training_config.weight_decay": "1.2"}, cautious=True),
        "NorMuon": Variant(normed_rows=True),
        "min_learning_rate 6e-4": Variant({"training_config.min_learning_rate": "6e-4"}, averages=(0.99, 0.998)),
        "context grows from 64 to 128 halfway": Variant(stages=(Stage(0.5, 16, 64), Stage(0.5, 8, 128))),
        "R-drop": Variant(consistency=1.0),
        "the token after the next, until halfway": Variant(further_tokens=0.3),
        "taught by a 6-gram over the first fifth": Variant(counted=0.5),
    },
    "subwords": {
        UNCHANGED: Variant(replaced=0.05),
        "R-drop": Variant(replaced=0.05, consistency=1.0),
        "R-drop of weight 3": Variant(replaced=0.05, consistency=3.0),
        "R-drop, half the text": Variant(replaced=0.05, consistency=1.0, text=0.5),
        "twice the text": Variant(replaced=0.05, text=2.0),
        "dropout 0.3": Variant({"model_config.dropout": "0.3"}, replaced=0.05),
        "BPE-dropout 0.1": Variant(replaced=0.05, bpe_dropout=0.1),
        "BPE-dropout 0.1, over seven tenths of the run": Variant(replaced=0.05, bpe_dropout=0.1, bpe_dropout_until=0.7),
        "BPE-dropout 0.3, over seven tenths of the run": Variant(replaced=0.05, bpe_dropout=0.3, bpe_dropout_until=0.7),
        "taught by one": Variant(replaced=0.05, taught=0.5),
        "taught by two": Variant(replaced=0.05, taught=0.5, teachers=2),
        "taught by two, R-drop": Variant(replaced=0.05, taught=0.5, teachers=2, consistency=1.0),
    },
}
#: A search of another name than the preset that it began with.
PRESETS: dict[str, str] = {"subwords": "best"}
#: Of the characters before the last tenth of the text, the share that a search trains on; a tenth judges.
TRAINED: dict[str, float] = {"pico": 0.9, "fast": 0.9, "best": 0.2, "subwords": 0.4}
