"""The keys of `output_config`: where runs are written."""

from __future__ import annotations

from dataclasses import dataclass

from trickster_engine.config.keys.spec import key


@dataclass(frozen=True)
class OutputConfig:
    """`output_config`: where runs are written.

    Each run gets a directory of its own, `<output_dir>/<name of the config>-<number>`, and never overwrites another.
    """

    output_dir: str = key(
        "runs",
        doc="The folder for run directories.",
        effect="A checkpoint needs about 12 bytes per parameter, and keep_best_n + 1 of them may exist at once.",
        examples=("runs", "output/nano_trickster"),
        type="path",
        other_names=("out_dir",),
    )
    checkpoint_dir: str | None = key(
        None,
        doc="A folder for checkpoints outside the run's directory; each run gets its own folder in it.",
        effect="Use it to store checkpoints on a larger disk.",
        default_note="`checkpoints` in the run's directory",
        type="path",
    )
    log_dir: str | None = key(
        None,
        doc="A folder for log.txt outside the run's directory; each run gets its own folder in it.",
        default_note="the run's directory",
        type="path",
    )
