"""A text for every problem code, and what of it must be underlined."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod

from trickster_engine.config.plan import ModelConfig
from trickster_engine.config.shapes import weight_shapes


@dataclass(frozen=True)
class Case:
    """One mistake. `fixable` tells that each fix offered makes this problem go away, and that there is one."""

    code: str
    text: str
    underlined: str
    severity: str = "error"
    fixable: bool = True
    files: tuple[tuple[str, str], ...] = ()  # to be there, when the file system matters
    on_disk: bool = False

    @property
    def name(self) -> str:
        """For the test's name."""
        return f"{self.code}-{self.underlined[:20]!r}"


def _model(*lines: str) -> str:
    return "model_config:\n" + "".join(f"  {line}\n" for line in lines)


def _training(*lines: str) -> str:
    return "training_config:\n" + "".join(f"  {line}\n" for line in lines)


def _device(*lines: str) -> str:
    return "device_config:\n" + "".join(f"  {line}\n" for line in lines)


def _data(*lines: str) -> str:
    return "data_config:\n" + "".join(f"  {line}\n" for line in lines)


def _sampling(*lines: str) -> str:
    return "sampling_config:\n" + "".join(f"  {line}\n" for line in lines)


def llama(**changes: object) -> tuple[tuple[str, str], ...]:
    """The files of a folder `m` with a Llama of zeros that has 256 tokens and 32 positions, and a tokenizer."""
    config = {
        "model_type": "llama",
        "vocab_size": 256,
        "hidden_size": 4,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "intermediate_size": 2,
        "max_position_embeddings": 32,
        "tie_word_embeddings": True,
    }
    shape = ModelConfig(
        vocab_size=256, hidden_dim=4, num_layers=1, num_heads=1, num_kv_heads=1, mlp_dim=2, max_seq_len=32
    )
    header: dict[str, object] = {}
    end = 0
    for name, sizes in weight_shapes(shape).items():
        begin, end = end, end + 2 * prod(sizes)
        header[name] = {"dtype": "BF16", "shape": list(sizes), "data_offsets": [begin, end]}
    text = json.dumps(header)
    while not 16 < len(text) % 256 < 128:  # so that no byte of the length is beyond ASCII or a line end
        text += " "
    length = "".join(chr(len(text) >> shift & 0xFF) for shift in range(0, 64, 8))
    return (
        ("m/config.json", json.dumps({**config, **changes})),
        ("m/model.safetensors", length + text + "\0" * end),
        ("m/tokenizer.json", '{"model": {"type": "BPE", "vocab": {}, "merges": []}}'),
    )


TT = _device("device_type: tt")

CASES = [
    # The YAML itself
    Case("yaml-syntax", _sampling("prompt: ROMEO: speak"), "ROMEO: speak"),
    Case("yaml-syntax", _sampling("prompt: @you"), "@you"),
    Case("yaml-syntax", _sampling('prompt: "C:\\dir"'), "\\d"),
    Case("yaml-missing-colon", _model("hidden_dim: 256", "num_heads 8", "num_layers: 6"), "num_heads 8"),
    Case("yaml-missing-colon", "model_config\n  hidden_dim: 256\n", "model_config"),
    Case("yaml-missing-colon", _model("hidden_dim 128"), "hidden_dim 128"),
    Case("yaml-missing-colon", "[broken\nmodel_config:\n  hidden_dim: 256\njust words\n", "just words"),
    Case("yaml-missing-colon", _model("hidden_dim = 64", "num_heads: 4"), "hidden_dim = 64"),
    Case("yaml-missing-colon", _sampling("prompt: To be", "or not to be", "seed: 5"), "or not to be"),
    Case("yaml-missing-space", _model("hidden_dim:64", "num_heads: 4"), "hidden_dim:64"),
    Case("yaml-missing-space", "model_config: {hidden_dim:64}\n", "model_config: {hidden_dim:64}"),
    Case("yaml-dash", _model("- num_heads: 4", "- num_layers: 2"), "- num_heads: 4"),
    Case("yaml-markdown", "```yaml\n" + _model("num_heads: 4"), "```yaml"),
    Case(
        "yaml-conflict",
        _model("num_layers: 2") + "<<<<<<< HEAD\n  num_heads: 8\n=======\n  num_heads: 4\n>>>>>>> wide\n",
        "<<<<<<< HEAD\n  num_heads: 8\n=======\n  num_heads: 4\n>>>>>>> wide",
    ),
    Case("yaml-conflict", ">>>>>>> wide\n" + _model("num_layers: 2"), ">>>>>>> wide"),
    Case("yaml-character", "model_config:\n\xa0\xa0num_heads: 4\n", "\xa0\xa0"),
    Case("yaml-indentation", _model("hidden_dim: 256", "  num_heads: 8", "num_layers: 6"), "    "),
    Case("yaml-indentation", "model_config:\n  hidden_dim: 256\n num_heads: 8\n", " "),
    Case("yaml-indentation", "  model_config:\n    num_heads: 4\ntraining_config:\n  seed: 5\n", "training_config:"),
    Case("yaml-tab", "model_config:\n\thidden_dim: 256\n", "\t"),
    Case("yaml-unclosed", _device("mesh_shape: [1, 2", "device_type: cuda"), "[1, 2"),
    Case("yaml-unclosed", "sampling_config: {seed: 3\nmodel_config:\n  hidden_dim: 256\n", "{seed: 3"),
    Case("yaml-unclosed", _sampling('prompt: "ROMEO'), '"ROMEO'),
    Case("yaml-character", _sampling("prompt: a\x07b"), "\x07"),
    Case("yaml-character", _sampling("prompt: a\ud800b"), "\ud800"),
    Case("yaml-character", _sampling('prompt: "a\\0b"'), '"a\\0b"', fixable=False),
    Case("yaml-alias", _model("num_heads: *heads"), "*heads", fixable=False),
    Case("yaml-alias", "model_config: &all\n  num_heads: *all\n", "*all", fixable=False),
    Case("yaml-alias", _model("<<: 3"), "<<: 3", fixable=False),
    Case("yaml-key", _model("? [a, b]", ": 3"), "[a, b]", fixable=False),
    Case("yaml-tag", _model("num_heads: !!python/int 8"), "!!python/int 8", fixable=False),
    Case("yaml-several-documents", _model("num_heads: 8") + "---\nother: 1\n", "---", fixable=False),
    Case("yaml-too-deep", "model_config: " + "[" * 60 + "]" * 60 + "\n", "[", fixable=False),
    Case("yaml-too-large", "#" * 1_000_001, "#" * 80, fixable=False),
    Case("not-a-config", "- 1\n- 2\n", "- 1\n- 2\n", fixable=False),
    Case("not-a-config", "just words\n", "just words\n", fixable=False),
    Case("empty-config", "# nothing\n", "", "warning", fixable=False),
    # Names
    Case("unknown-section", "trainig_config:\n  max_steps: 5000\n", "trainig_config"),
    Case("unknown-section", "wheels:\n  round: true\n", "wheels"),
    Case("not-a-section", "model_config: 5\n", "5", fixable=False),
    Case("unknown-key", _model("hiden_dim: 256"), "hiden_dim"),
    Case("unknown-key", _model("wings: 2"), "wings"),
    Case("unknown-key", _training("lr: 1e-3"), "lr"),
    Case("misplaced-key", _model("learning_rate: 1e-3"), "learning_rate"),
    Case("misplaced-key", "hidden_dim: 128\n", "hidden_dim"),
    Case("misplaced-key", "model_config:\n  lr: 1e-3\ntraining_config:\n  max_steps: 5000\n", "lr"),
    Case("duplicate-key", _model("num_layers: 4", "num_layers: 6"), "num_layers"),
    Case("duplicate-key", _model("num_layers: 4") + _model("num_heads: 8"), "model_config"),
    Case("doubled-key", _training("save_interval: 500", "checkpoint_frequency: 500"), "checkpoint_frequency", "hint"),
    Case("contradicting-keys", _training("save_interval: 500", "checkpoint_frequency: 600"), "checkpoint_frequency"),
    Case("contradicting-keys", _training("tracking: none", "use_wandb: true"), "use_wandb"),
    Case("other-name", _training("validation_frequency: 500"), "validation_frequency", "hint"),
    Case("other-name", _training("use_wandb: true"), "use_wandb", "hint"),
    Case("retired-key", _training("save_strategy: steps"), "save_strategy", "hint"),
    Case("retired-key", _training("save_strategy: epoch"), "epoch"),
    Case("unused-key", _training("label_smoothing: 0.2"), "label_smoothing", "hint"),
    Case("unused-key", _sampling("temperature: 0", "top_k: 4"), "top_k", "hint"),
    Case("unused-key", _data("train_data: a.pt", "val_data: b.pt", "corpus: python"), "corpus", "hint"),
    # Values
    Case("missing-value", _model("hidden_dim:", "num_layers: 4"), "hidden_dim"),
    Case("missing-value", _model("hidden_dim: null"), "null"),
    Case("wrong-type", _model('hidden_dim: "256"'), '"256"'),
    Case("wrong-type", _model("num_layers: six"), "six", fixable=False),
    Case("wrong-type", _model("num_layers: 6.5"), "6.5"),
    Case("wrong-type", _model("num_layers: [6]"), "[6]"),
    Case("wrong-type", _model("num_layers: {a: 1}"), "{a: 1}", fixable=False),
    Case("wrong-type", _training("max_steps: 10k"), "10k"),
    Case("wrong-type", _training("max_steps: 10_000"), "10_000"),
    Case("wrong-type", _model("tie_embeddings: yes"), "yes"),
    Case("wrong-type", _model("tie_embeddings: 0"), "0"),
    Case("wrong-type", _model("tie_embeddings: maybe"), "maybe", fixable=False),
    Case("wrong-type", _device("mesh_shape: 1x1"), "1x1"),
    Case("wrong-type", _device("mesh_shape: 1"), "1"),
    Case("wrong-type", _device("mesh_shape: [1]"), "[1]"),
    Case("wrong-type", _sampling("prompt: 42"), "42"),
    Case("wrong-type", _training("use_wandb: sometimes"), "sometimes"),
    Case("unknown-value", _training("optimizer: adam"), "adam"),
    Case("unknown-value", _training("optimizer: zigzag"), "zigzag"),
    Case("unknown-value", _device("device_type: gpu"), "gpu"),
    Case("unknown-value", _data("tokenizer: bites"), "bites"),
    Case("unknown-value", _data('corpus: "a\\tb"'), '"a\\tb"', fixable=False),
    Case("out-of-range", _model("dropout: 1.5"), "1.5"),
    Case("out-of-range", _model("num_layers: 0"), "0"),
    Case("out-of-range", _training("keep_best_n: 1"), "1"),
    Case("out-of-range", _training("learning_rate: .inf"), ".inf", fixable=False),
    Case("out-of-range", _training("learning_rate: .nan"), ".nan", fixable=False),
    Case("out-of-range", _training("max_steps: " + "9" * 5000), "9" * 5000, fixable=False),
    Case("out-of-range", _device("mesh_shape: [0, 1]"), "[0, 1]"),
    Case("whole-number", _training("max_steps: 1e4"), "1e4", "hint"),
    Case("leading-zero", _model("num_heads: 08"), "08", "warning"),
    Case("yaml-boolean-word", _sampling("prompt: yes"), "yes", "warning"),
    # The model
    Case("heads-divide-dim", _model("hidden_dim: 250", "num_heads: 8"), "8"),
    Case("heads-divide-dim", _model("num_heads: 7"), "7"),
    Case("heads-divide-dim", _model("hidden_dim: 100"), "100"),
    Case("head-dim-even", _model("hidden_dim: 24", "num_heads: 8"), "8"),
    Case("kv-heads-divide-heads", _model("num_heads: 8", "num_kv_heads: 3"), "3"),
    Case("kv-heads-divide-heads", _model("num_heads: 8", "num_kv_heads: 16"), "16"),
    # Training
    Case("warmup-too-long", _training("max_steps: 500", "warmup_steps: 500"), "500"),
    Case("warmup-too-long", _training("max_steps: 200"), "200"),
    Case("curve-too-short", _training("lr_decay_steps: 900"), "900"),
    Case("curve-too-short", _training("max_steps: 2000", "lr_restart_step: 1000"), "1000"),
    Case("min-rate-above-rate", _training("learning_rate: 1e-4", "min_learning_rate: 1e-3"), "1e-3"),
    Case("rate-very-high", _training("learning_rate: 0.3"), "0.3", "warning"),
    Case("rate-very-high", _training("optimizer: muon", "muon_learning_rate: 2.0"), "2.0", "warning"),
    Case("interval-longer-than-run", _training("max_steps: 2000", "eval_interval: 5000"), "5000", "information"),
    Case("interval-longer-than-run", _training("max_steps: 2000", "save_interval: 5000"), "5000", "information"),
    Case("interval-longer-than-run", _training("max_steps: 2000", "log_interval: 5000"), "5000", "information"),
    Case("patience-too-long", _training("max_steps: 2000", "early_stopping_patience: 4"), "4", "information"),
    Case("effective-batch", _training("batch_size: 1", "gradient_accumulation_steps: 2"), "1", "hint"),
    Case("effective-batch", _training("batch_size: 8192"), "8192", "warning", fixable=False),
    Case("no-clipping", _training("grad_clip: 0"), "0", "hint"),
    # Devices
    Case("mesh-without-ddp", _device("mesh_shape: [1, 2]"), "[1, 2]"),
    Case("ddp-on-one-device", _device("enable_ddp: true"), "true", "warning"),
    Case("batch-divides-devices", _device("mesh_shape: [1, 3]", "enable_ddp: true"), "[1, 3]"),
    Case("batch-divides-devices", _training("batch_size: 5") + _device("mesh_shape: [1, 2]", "enable_ddp: true"), "5"),
    Case("mesh-one-row", _device("mesh_shape: [2, 2]", "enable_ddp: true"), "[2, 2]"),
    Case("mesh-one-row", _device("mesh_shape: [4, 1]", "enable_ddp: true", "device_type: tt"), "[4, 1]"),
    Case("mesh-of-one-device", _device("mesh_shape: [1, 2]", "enable_ddp: true", "device_type: mps"), "[1, 2]"),
    Case("sharding-on-one-device", _device("sharding: full"), "full", "warning"),
    Case(
        "sharding-needs-adamw",
        _training("optimizer: muon") + _device("sharding: full", "mesh_shape: [1, 2]", "enable_ddp: true"),
        "full",
    ),
    Case("tt-sharding", _device("device_type: tt", "sharding: full"), "full"),
    Case("tt-activation-checkpointing", TT + _training("activation_checkpointing: true"), "true"),
    Case("tt-multiple-of-32", TT + _model("hidden_dim: 400", "num_heads: 4"), "400"),
    Case("tt-multiple-of-32", TT + _model("mlp_dim: 700"), "700"),
    Case("tt-multiple-of-32", TT + _model("max_seq_len: 500"), "500"),
    Case("tt-multiple-of-32", TT + _model("vocab_size: 300"), "300"),
    Case("tt-head-dim", TT + _model("hidden_dim: 128", "num_heads: 8"), "8"),
    Case("tt-head-dim", TT + _model("hidden_dim: 1024", "num_heads: 2"), "2"),
    Case("tt-distillation", TT + _training("distill_from: m"), "m"),
    Case("teacher-loss", _training("distill_from: m", "loss: focal"), "focal"),
    Case("teacher-unusable", _training("distill_from: gone"), "gone", on_disk=True),
    Case("teacher-unusable", _training("distill_from: m"), "m", files=llama(hidden_act="gelu"), on_disk=True),
    Case("teacher-unusable", _training("distill_from: [gone]"), "gone", on_disk=True),
    Case("teacher-unusable", _training("distill_from: [gone, m]"), "gone", files=llama(), on_disk=True),
    Case("teacher-unusable", _training("distill_from:\n  - m\n  - gone"), "gone", files=llama(), on_disk=True),
    Case("wrong-type", _training("distill_from: [m, 3]"), "3", fixable=False),
    Case(
        "wrong-type",
        _training(f"distill_from: [{', '.join('abcdefghi')}]"),
        "[a, b, c, d, e, f, g, h, i]",
        fixable=False,
    ),
    Case("missing-value", _training("distill_from: []"), "[]", fixable=False),
    Case("tt-distillation", TT + _training("distill_from: [m, n]"), "[m, n]"),
    Case(
        "teacher-vocabulary",
        _model("vocab_size: 300", "max_seq_len: 32") + _training("distill_from: m"),
        "m",
        files=llama(),
        on_disk=True,
    ),
    Case(
        "teacher-context",
        _model("max_seq_len: 64") + _training("distill_from: m"),
        "64",
        files=llama(),
        on_disk=True,
    ),
    Case("tt-r-drop", TT + _training("r_drop: 1.0"), "1.0"),
    Case("tt-loss", TT + _training("loss: focal"), "focal"),
    Case("tt-norm-eps", TT + _model("norm_eps: 1e-6"), "1e-6"),
    Case("tt-precision", TT + _training("precision: fp32"), "fp32", "warning"),
    # Text and files
    Case("vocabulary-too-small", _model("vocab_size: 100"), "100"),
    Case("vocabulary-too-small", _data("tokenizer: bpe"), "bpe"),
    Case("vocabulary-not-used", _model("vocab_size: 512"), "512", "hint"),
    Case("one-half-of-prepared-text", _data("train_data: data/train.pt"), "data/train.pt"),
    Case("one-half-of-prepared-text", _data("val_data: data/val.pt"), "data/val.pt"),
    Case(
        "tokenizer-of-tensors",
        _data("train_data: d/train.pt", "val_data: d/val.pt", "tokenizer: char"),
        "char",
        "hint",
    ),
    Case("corpus-not-found", _data("corpus: plays.txt"), "plays.txt", "warning", on_disk=True),
    Case(
        "corpus-not-found",
        _data("corpus: text/playz.txt"),
        "text/playz.txt",
        "warning",
        files=(("text/plays.txt", "x" * 9000),),
        on_disk=True,
    ),
    Case("corpus-not-found", _data("corpus: shakespear"), "shakespear", "warning", on_disk=True),
    Case(
        "corpus-not-found",
        _data("train_data: a.pt", "val_data: b.pt"),
        "b.pt",
        "warning",
        fixable=False,
        files=(("a.pt", "x"),),
        on_disk=True,
    ),
    Case(
        "corpus-not-found",
        _data("train_data: a.pt", "val_data: b.pt", "tokenizer: t.pt"),
        "t.pt",
        "warning",
        fixable=False,
        files=(("a.pt", "x"), ("b.pt", "x")),
        on_disk=True,
    ),
    Case("corpus-too-short", _data("corpus: a.txt"), "a.txt", files=(("a.txt", "x" * 569),), on_disk=True),
    Case(
        "corpus-too-short",
        _data("corpus: a"),
        "a",
        files=(("a/b.txt", "x" * 100), ("a/c.bin", "x" * 9999)),
        on_disk=True,
    ),
    Case("corpus-too-short", _data("corpus: a.txt"), "a.txt", fixable=False, files=(("a.txt", ""),), on_disk=True),
    Case(
        "corpus-no-text",
        _data("corpus: a"),
        "a",
        fixable=False,
        files=(("a/c.bin", "x" * 9999), ("a/.b.txt", "x")),
        on_disk=True,
    ),
    *(
        Case("text-field-missing", _data(f"corpus: {name}"), name, files=((name, text),), on_disk=True)
        for name, text in (("a.jsonl", '{"id": 1, "body": "b"}\n'), ("b.csv", "title;body\na;b\n"))
    ),
    Case(
        "record-without-field",
        _data("corpus: a", "text_field: txt"),
        "txt",
        files=(("a/a.jsonl", '{"id": 1, "text": "b"}\n'),),
        on_disk=True,
    ),
    Case(
        "record-not-text",
        _data("corpus: a", "text_field: message.id"),
        "message.id",
        files=(("a/a.jsonl", '{"message": {"id": 1, "text": "b"}}\n'),),
        on_disk=True,
    ),
    Case("bad-pattern", _data("include: ['*.txt', /a]"), "/a", fixable=False),
    Case("bad-pattern", _data("exclude: a\\b"), "a\\b", fixable=False),
    Case("wrong-type", _data("include: [1]"), "1", fixable=False),
    Case("missing-value", _data("corpus: []"), "[]", fixable=False),
    Case("missing-value", _data("corpus: [{weight: 2}]"), "{weight: 2}", fixable=False),
    Case("wrong-type", _data("corpus: [a.txt, {path: [3]}]"), "[3]", fixable=False),
    Case("out-of-range", _data("corpus: [{path: a.txt, weight: 0.5}]"), "0.5", fixable=False),
    Case("unknown-key", _data("corpus: [{path: a.txt, wieght: 2}]"), "wieght", fixable=False),
    Case("corpus-not-found", _data("corpus: [python, a.txt]"), "a.txt", "warning", False, on_disk=True),
    Case("corpus-not-found", _data("corpus: [python, shakespear]"), "shakespear", "warning", on_disk=True),
    Case(
        "corpus-not-found",
        _data("corpus: [python, {path: plays.tx, weight: 2}]"),
        "plays.tx",
        "warning",
        files=(("plays.txt", "x" * 900_000),),
        on_disk=True,
    ),
    Case(
        "corpus-too-short",
        _data("corpus:\n  - python\n  - path: a.txt\n    weight: 2"),
        "a.txt",
        fixable=False,
        files=(("a.txt", ""),),
        on_disk=True,
    ),
    Case(
        "corpus-name-built-in",
        _data("corpus: shakespeare"),
        "shakespeare",
        "warning",
        files=(("shakespeare/a.txt", "x" * 90_000),),
        on_disk=True,
    ),
    Case("validation-too-short", _data("val_fraction: 0.0001"), "0.0001"),
    Case(
        "validation-too-short",
        _data("train_data: a.txt", "val_data: b.txt"),
        "b.txt",
        files=(("a.txt", "x" * 9000), ("b.txt", "x" * 500)),
        on_disk=True,
    ),
    Case(
        "validation-in-training",
        _data("train_data: a.txt", "val_data: ./a.txt"),
        "./a.txt",
        fixable=False,
        files=(("a.txt", "x" * 9000),),
        on_disk=True,
    ),
    Case(
        "corpus-small",
        _data("corpus: a.txt"),
        "a.txt",
        "warning",
        fixable=False,
        files=(("a.txt", "x" * 9000),),
        on_disk=True,
    ),
    Case(
        "output-not-a-folder",
        "output_config:\n  output_dir: runs\n",
        "runs",
        fixable=False,
        files=(("runs", "a file"),),
        on_disk=True,
    ),
    Case("empty-separator", _data("documents: separated", 'document_separator: ""'), '""'),
    Case("documents-of-tensors", _data("train_data: t.pt", "val_data: v.pt", "documents: lines"), "lines"),
    Case(
        "mask-documents-device",
        _data("documents: lines", "mask_documents: true") + "\ndevice_config:\n  device_type: mps\n",
        "true",
    ),
    Case("webhook-not-private", "alerts_config:\n  webhook: http://example.org/x\n", "http://example.org/x"),
    Case("empty-prompt", _sampling('prompt: ""'), '""'),
    Case("init-from-missing", _model("init_from: gone"), "gone", on_disk=True),
    Case("init-from-missing", _model("init_from: m"), "m", files=(("m/notes.txt", "x"),), on_disk=True),
    Case("init-from-pickle", _model("init_from: m"), "m", files=(("m/pytorch_model.bin", "x"),), on_disk=True),
    Case("init-from-unusable", _model("init_from: m"), "m", files=llama(hidden_act="gelu"), on_disk=True),
    Case("init-from-unusable", _model("init_from: m"), "m", files=llama(vocab_size=300), on_disk=True),
    Case("shape-of-weights", _model("init_from: m", "hidden_dim: 64"), "64", files=llama(), on_disk=True),
    Case(
        "longer-than-weights", _model("init_from: m", "max_seq_len: 64"), "64", "warning", files=llama(), on_disk=True
    ),
    Case("tokenizer-of-weights", _model("init_from: m"), "m", files=llama()[:2], on_disk=True),
    Case(
        "tokenizer-of-weights",
        _model("init_from: m") + _data("tokenizer: char"),
        "char",
        files=llama(),
        on_disk=True,
    ),
]
