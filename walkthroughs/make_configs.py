"""Write the lesson's ready configs from the presets: `python walkthroughs/make_configs.py`.

Each is a preset with a few lines changed, and says so in these lines; so that they follow when a preset is improved.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from trickster_engine.config import preset_text

FOLDER = Path(__file__).parent / "configs"
_FABRIC = "tt_metal/fabric/mesh_graph_descriptors/{}_mesh_graph_descriptor.textproto"
_SAME = "The validation loss is always plain cross-entropy, so you can compare it."
_COMPARABLE = (
    "The model, its text and the 32 sequences per update are the same on every device, so you can compare losses."
)


@dataclass(frozen=True)
class Variant:
    """A preset with lines changed. `changes` maps section.key to a value; `notes` a key to what its comment adds."""

    name: str
    preset: str
    head: tuple[str, ...]
    changes: dict[str, str]
    notes: dict[str, str] = field(default_factory=dict)


def _experiment(name: str, head: str, *more: str, notes: dict[str, str] | None = None, **changes: str) -> Variant:
    by_key = {key.replace("__", "."): value for key, value in changes.items()}
    return Variant(f"experiments/{name}", "pico", (f"Experiment: {head}", *more), by_key, notes or {})


def _descriptor(chips: int, name: str = "") -> str:
    """What several chips need before they train: docs/tenstorrent.md says more."""
    where = f"\ntt-metal has {name}." if name else "\ntt-metal has none of that shape for it: docs/tenstorrent.md."
    return f"Set TT_MESH_GRAPH_DESC_PATH to a mesh graph descriptor of [1, {chips}], or a run is refused.{where}"


def _hardware(name: str, device: str, *head: str, chips: int = 1, batch: int = 16) -> Variant:
    batch = 32 if chips > 1 else batch
    changes = {"device_config.device_type": device}
    if batch != 16:
        changes |= {
            "training_config.batch_size": str(batch),
            "training_config.gradient_accumulation_steps": str(32 // batch),
        }
    if chips > 1:
        changes |= {"device_config.mesh_shape": f"[1, {chips}]", "device_config.enable_ddp": "true"}
    return Variant(f"hardware/{name}", "nano", (*"\n".join(head).split("\n"), _COMPARABLE), changes)


VARIANTS: tuple[Variant, ...] = (
    Variant(
        "experiments/baseline",
        "pico",
        ("The baseline of the experiments: the preset pico. Every other file here differs from it in one thing.",),
        {},
    ),
    _experiment(
        "longer-run",
        "twice as many steps. Had the baseline finished learning?",
        "The learning-rate schedule is twice as long too.",
        training_config__max_steps="x2",
    ),
    _experiment(
        "other-data",
        "the Python files of this machine's standard library instead of plays.",
        "What is learned first in another language? You cannot compare losses on different texts.",
        data_config__corpus="python",
        sampling_config__prompt='"def "',
    ),
    _experiment(
        "learning-rate",
        "a quarter of the learning rate, for the matrices and for the rest.",
        training_config__muon_learning_rate="/4",
        training_config__learning_rate="/4",
    ),
    _experiment(
        "batch",
        "four times the text per update, at four times the compute per step.",
        training_config__batch_size="x4",
    ),
    _experiment("warm-up", "no warm-up: training starts at the peak learning rate.", training_config__warmup_steps="0"),
    _experiment(
        "dropout",
        "a fifth of what each block adds is dropped at random during training.",
        model_config__dropout="0.2",
    ),
    _experiment("weight-decay", "no weight decay.", training_config__weight_decay="0.0"),
    _experiment(
        "several-devices",
        "the same training on two chips, such as an N300 has.",
        "The chips share the batch, so the curve stays nearly the same and the time shrinks.",
        device_config__device_type="tt",
        device_config__mesh_shape="[1, 2]",
        device_config__enable_ddp="true",
    ),
    _experiment(
        "wider",
        "twice the width, about four times the parameters.",
        model_config__hidden_dim="x2",
        model_config__num_heads="x2",
        model_config__mlp_dim="x2",
        notes={
            "model_config.num_heads": "so that head_dim stays the same",
            "model_config.mlp_dim": "still 3 x hidden_dim",
        },
    ),
    _experiment("deeper", "twice the depth, twice the parameters in the blocks.", model_config__num_layers="x2"),
    _experiment(
        "bpe",
        "subwords (BPE) as tokens instead of bytes.",
        "A token now is more text: compare bits/byte (trickster compare), not nats/token.",
        model_config__vocab_size="1024",
        data_config__tokenizer="bpe",
    ),
    *(
        _experiment(
            f"context-{length}",
            f"a context of {length:,} characters. The batch shrinks so that a step uses as much text as before.",
            model_config__max_seq_len=str(length),
            training_config__batch_size=f"/{length // 128}",
        )
        for length in (1024, 2048)
    ),
    _experiment(
        "label-smoothing",
        "a tenth of the target is spread over all tokens, so that the model is less confident.",
        _SAME,
        training_config__loss="label_smoothing",
        training_config__label_smoothing="0.1",
    ),
    _experiment(
        "focal-loss",
        "tokens that are already predicted well count for less.",
        _SAME,
        training_config__loss="focal",
        training_config__focal_gamma="2.0",
    ),
    _hardware("cpu", "cpu", "nano on a processor. It takes its time: try pico first."),
    _hardware("gpu", "cuda", "nano on one NVIDIA GPU.", batch=32),
    _hardware("n150", "tt", "nano on a Tenstorrent N150: one chip."),
    _hardware("n300", "tt", "nano on a Tenstorrent N300: two chips.", _descriptor(2, _FABRIC.format("n300")), chips=2),
    _hardware("t3k", "tt", "nano on a Tenstorrent T3K (LoudBox): eight chips.", _descriptor(8), chips=8),
    _hardware(
        "galaxy",
        "tt",
        "nano on a Tenstorrent Galaxy: thirty-two chips. A model this small cannot keep them busy;",
        "take mini or midi and a larger batch once this works.",
        _descriptor(32),
        chips=32,
    ),
    _hardware("p150", "tt", "nano on a Tenstorrent P150 or P100a (Blackhole): one chip."),
    _hardware(
        "p300",
        "tt",
        "nano on a Tenstorrent P300 (Blackhole): two chips.",
        _descriptor(2, _FABRIC.format("p300")),
        chips=2,
    ),
    _hardware(
        "quietbox-2",
        "tt",
        "nano on a TT-QuietBox 2 (Blackhole): four chips.",
        _descriptor(4, "tt-train/configs/mgd/bh_qb_1_4_ring_ring.textproto"),
        chips=4,
    ),
    _hardware(
        "galaxy-blackhole",
        "tt",
        "nano on a Galaxy Blackhole: thirty-two chips. A model this small cannot keep them busy;",
        "take mini or midi and a larger batch once this works.",
        _descriptor(32),
        chips=32,
    ),
)


def text_of(variant: Variant) -> str:
    """The YAML of a variant."""
    text = preset_text(variant.preset)
    text = text[text.index("model_config:") :]
    for key, value in variant.changes.items():
        text = _changed(text, key, value, variant.notes.get(key))
    return "".join(f"# {line}\n" for line in variant.head) + "\n" + text


def _changed(text: str, path: str, value: str, note: str | None) -> str:
    """One value changed where it stands, or added at the top of its section, with a comment that says what it was."""
    section, key = path.split(".")
    start = text.index(f"{section}:")
    body = text.index("\n", start) + 1
    end = text.find("\n\n", body)
    end = len(text) if end < 0 else end + 1
    column = max((line.index(" #") for line in text[body:end].splitlines() if " #" in line), default=28)
    found = re.search(rf"^  {key}: (?P<old>\[[^\]]*\]|\"[^\"]*\"|[^\s#]+)[^\n]*\n", text[body:end], re.MULTILINE)
    old = found["old"] if found else None
    why = f"CHANGED from {old}" if old is not None else "ADDED"
    line = f"  {key}: {_computed(value, old)}".ljust(column) + f" # {why}{', ' + note if note else ''}\n"
    if found is None:
        return text[:body] + line + text[body:]
    return text[: body + found.start()] + line + text[body + found.end() :]


def _computed(value: str, old: str | None) -> str:
    """`x2` and `/4` of what stands in the preset; anything else as it is."""
    if old is None or value[0] not in "x/":
        return value
    number, factor = float(old), float(value[1:])
    result = number * factor if value[0] == "x" else number / factor
    return f"{result:g}" if "." in old or "e" in old else str(round(result))


def main() -> None:
    """Write every file."""
    for variant in VARIANTS:
        target = FOLDER / f"{variant.name}.yaml"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text_of(variant), encoding="utf-8")


if __name__ == "__main__":
    main()
