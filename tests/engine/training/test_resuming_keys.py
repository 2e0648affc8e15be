"""For each key of a config: what resuming does with it. Whatever is accepted is done, and the rest is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.engine.conftest import TINY, dialogue
from tests.engine.training import test_alerts, test_compile, test_processes, test_sharding
from tests.engine.training.reading import of_kind
from tests.engine.training.stopping import stopped_after
from trickster_engine.backends.select import open_backend
from trickster_engine.config import check
from trickster_engine.config.keys import KEYS
from trickster_engine.config.plan_values import values_of
from trickster_engine.errors import TricksterError
from trickster_engine.runs import RunDirectory, read_events
from trickster_engine.runs.checkpoint_files import checkpoint_folders
from trickster_engine.training import process
from trickster_engine.training.start import resume, start

STOPPED, LAST = 2, 6


@dataclass(frozen=True)
class Refused:
    """A value that cannot be in the middle of a run, and words of the reason."""

    value: str
    because: str
    code: str = "fixed-for-the-run"


@dataclass(frozen=True)
class Done:
    """A value that counts from the next update on, beside others, and what shows that it does."""

    value: str
    shows: Callable[[RunDirectory, RunDirectory, SimpleNamespace], bool]
    beside: Mapping[str, str] = field(default_factory=dict)
    #: What the run to compare with was given.
    compared: Mapping[str, str] = field(default_factory=dict)


# ---- what shows it: the run with the value, the same without, and the backend that trained --------------------------


def last(run: RunDirectory) -> Path:
    return checkpoint_folders(run.checkpoints_folder())[-1]


def weights(run: RunDirectory, other: RunDirectory, _: object) -> bool:
    ours, theirs = (load_file(last(one) / "model.safetensors") for one in (run, other))
    return any(not np.array_equal(array, theirs[name]) for name, array in ours.items())


def steps_of(run: RunDirectory, kind: str) -> list[int]:
    steps: list[int] = [event["step"] for event in of_kind(read_events(run.events_path)[0], kind)]
    return [step for step in steps if step > STOPPED]


def events(kind: str, *steps: int) -> Callable[[RunDirectory, RunDirectory, object], bool]:
    return lambda run, other, _: steps_of(run, kind) == list(steps) != steps_of(other, kind)


def samples(run: RunDirectory, other: RunDirectory, _: object) -> bool:
    return texts(run) != texts(other)


def warned(run: RunDirectory) -> int:
    return len(of_kind(read_events(run.events_path)[0], "warning"))


def texts(run: RunDirectory) -> list[str]:
    found = [event for event in read_events(run.events_path)[0] if event["kind"] == "sample"]
    return [event["prompt"] + event["text"] for event in found if event["step"] > STOPPED]


def kept(run: RunDirectory, other: RunDirectory, _: object) -> bool:
    return len(checkpoint_folders(run.path / "checkpoints")) > len(checkpoint_folders(other.path / "checkpoints"))


def ends_early(run: RunDirectory, other: RunDirectory, _: object) -> bool:
    return run.summary().step == 4 and other.summary().step == LAST


def same_weights(run: RunDirectory, other: RunDirectory, backend: SimpleNamespace) -> bool:
    return not weights(run, other, backend)


def recomputes(run: RunDirectory, other: RunDirectory, backend: SimpleNamespace) -> bool:
    return bool(backend.model.model.recompute_blocks) and same_weights(run, other, backend)


def elsewhere(test: Callable[..., Any]) -> Callable[[RunDirectory, RunDirectory, object], bool]:
    """It takes several processes, a compiler or a longer run, and has a test of its own."""
    return lambda run, other, _: test.__name__.startswith("test_")


SMOOTH, FOCAL = {"training_config.loss": "label_smoothing"}, {"training_config.loss": "focal"}
GREEDY = {"sampling_config.temperature": "0"}
MODEL = "model of this shape"

TABLE: dict[str, Refused | Done] = {
    "model_config.vocab_size": Refused("512", MODEL),
    "model_config.hidden_dim": Refused("64", MODEL),
    "model_config.num_layers": Refused("3", MODEL),
    "model_config.num_heads": Refused("4", MODEL),
    "model_config.num_kv_heads": Refused("1", MODEL),
    "model_config.mlp_dim": Refused("96", MODEL),
    "model_config.max_seq_len": Refused("16", MODEL),
    "model_config.dropout": Refused("0.2", MODEL),
    "model_config.rope_theta": Refused("500", MODEL),
    "model_config.norm_eps": Refused("1e-6", MODEL),
    "model_config.tie_embeddings": Refused("false", MODEL),
    "model_config.init_from": Refused("elsewhere", "begun from other weights"),
    "training_config.batch_size": Refused("8", "order of the text"),
    "training_config.gradient_accumulation_steps": Done("2", weights, {"training_config.batch_size": "2"}),
    "training_config.max_steps": Done("8", lambda run, other, _: run.summary().step == 8),
    "training_config.warmup_steps": Done("4", weights),
    "training_config.learning_rate": Done("0.002", weights),
    "training_config.min_learning_rate": Done("0.001", weights),
    "training_config.lr_schedule": Done("linear", weights),
    "training_config.lr_decay_steps": Done("3", weights),
    "training_config.lr_restart_step": Done("3", weights),
    "training_config.optimizer": Refused("adamw", "saved optimizer state"),
    "training_config.muon_learning_rate": Done("0.01", weights),
    "training_config.muon_momentum": Done("0.8", weights),
    "training_config.weight_decay": Done("0.5", weights),
    "training_config.beta1": Done("0.8", weights),
    "training_config.beta2": Done("0.9", weights),
    "training_config.grad_clip": Done("0.001", weights),
    "training_config.loss": Done("focal", weights),
    "training_config.label_smoothing": Done("0.4", weights, SMOOTH, SMOOTH),
    "training_config.focal_gamma": Done("4", weights, FOCAL, FOCAL),
    "training_config.replace_inputs": Done("0.2", weights),
    "training_config.r_drop": Done("1.0", weights),
    "training_config.distill_from": Refused("elsewhere", "teacher that it began with"),
    "training_config.distill_weight": Refused("0.3", "distill_from", "no-effect"),
    "training_config.precision": Done("bf16", lambda run, other, backend: backend.precision == "bf16"),
    "training_config.compile": Done(
        "never", elsewhere(test_compile.test_a_compiled_run_learns_the_same_and_resumes_exactly)
    ),
    "training_config.activation_checkpointing": Done("true", recomputes),
    "training_config.seed": Refused("2", "order of the text"),
    "training_config.log_interval": Done("2", events("step", 4, 6)),
    "training_config.eval_interval": Done("3", events("eval", 3, 6)),
    "training_config.layer_statistics": Done(
        "false", lambda run, other, _: not steps_of(run, "layers") and bool(steps_of(other, "layers"))
    ),
    "training_config.save_interval": Done("4", events("checkpoint", 4, 6)),
    "training_config.keep_best_n": Done("4", kept),
    "training_config.early_stopping_patience": Done("1", ends_early, {"early_stopping_min_delta": "100"}),
    "training_config.early_stopping_min_delta": Done("100", ends_early, {"early_stopping_patience": "1"}),
    "training_config.tracking": Done("tensorboard", lambda run, other, _: any((run.path / "tensorboard").iterdir())),
    "device_config.device_type": Done("auto", same_weights),
    "device_config.mesh_shape": Done(
        "[1, 1]", elsewhere(test_processes.test_a_lost_process_ends_the_job_and_any_number_goes_on)
    ),
    "device_config.enable_ddp": Done(
        "false", elsewhere(test_processes.test_a_lost_process_ends_the_job_and_any_number_goes_on)
    ),
    "device_config.sharding": Done(
        "none", elsewhere(test_sharding.test_two_that_share_the_model_learn_what_one_learns_and_any_number_goes_on)
    ),
    "data_config.corpus": Done("moved.txt", same_weights),
    "data_config.include": Done('["*.txt"]', same_weights),
    "data_config.exclude": Done('["*.md"]', same_weights),
    "data_config.tokenizer": Refused("char", "token ids"),
    "data_config.val_fraction": Refused("0.2", "would become validation text"),
    "data_config.line_ends": Refused("lf", "these line ends"),
    "data_config.documents": Refused("files", "divided so"),
    "data_config.document_separator": Refused("%", "divided so"),
    "data_config.text_field": Refused("body", "this field"),
    "data_config.drop_duplicates": Refused("true", "order of the text"),
    "data_config.drop_near_duplicates": Refused("true", "order of the text"),
    "data_config.mask_documents": Refused("true", "this attention"),
    "data_config.train_data": Done("train.txt", same_weights, {"data_config.val_data": "val.txt"}),
    "data_config.val_data": Done("val.txt", same_weights, {"data_config.train_data": "train.txt"}),
    "output_config.output_dir": Refused("elsewhere", "stays in its folder"),
    "output_config.checkpoint_dir": Done("kept", lambda run, other, _: run.checkpoints_folder().parent.name == "kept"),
    "output_config.log_dir": Done(
        "logs", lambda run, other, _: "training" in (run.path.parents[1] / "logs" / run.id / "log.txt").read_text()
    ),
    "sampling_config.prompt": Done("KING:", samples),
    "sampling_config.max_new_tokens": Done("5", samples),
    "sampling_config.temperature": Done("0", samples),
    "sampling_config.top_k": Done("1", samples),
    "sampling_config.top_p": Done("0.1", samples),
    "sampling_config.repetition_penalty": Done("50", samples, GREEDY, GREEDY),
    "sampling_config.seed": Done("7", samples),
    "alerts_config.loss_stuck_steps": Done(
        "9", elsewhere(test_alerts.test_each_rule_speaks_once_and_again_when_it_was_over)
    ),
    "alerts_config.gap_evaluations": Done(
        "9", elsewhere(test_alerts.test_each_rule_speaks_once_and_again_when_it_was_over)
    ),
    "alerts_config.slow_below": Done(
        "0.1", elsewhere(test_alerts.test_each_rule_speaks_once_and_again_when_it_was_over)
    ),
    "alerts_config.grad_norm_above": Done(
        "9", elsewhere(test_alerts.test_each_rule_speaks_once_and_again_when_it_was_over)
    ),
    "alerts_config.min_free_gb": Done("1000000", lambda run, other, _: warned(run) > warned(other)),
    "alerts_config.webhook": Done(
        "http://127.0.0.1:9/alerts",
        elsewhere(test_alerts.test_a_run_tells_a_webhook_and_a_command_and_waits_for_neither),
    ),
}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run that was stopped after two of six steps."""
    folder = tmp_path_factory.mktemp("stopped")
    text = dialogue(30_000)
    (folder / "play.txt").write_text(text, encoding="utf-8")
    training = {"max_steps": LAST, "log_interval": 1, "eval_interval": 2, "save_interval": 1}
    sections = {**TINY, "training_config": {**TINY["training_config"], **training}}
    path = folder / "tiny.yaml"
    path.write_text(json.dumps(sections), encoding="utf-8")
    plan = check(path.read_text(encoding="utf-8"), folder).plan
    assert plan is not None
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TRICKSTER_CACHE_DIR", str(folder / "cache"))
        with stopped_after(STOPPED):
            run, outcome = start(path, path.read_text(encoding="utf-8"), plan, show_progress=False)
    assert outcome == "stopped"
    return run


class Copies:
    """Copies of a run's project, each gone on with in its own way."""

    def __init__(self, run: RunDirectory, folder: Path) -> None:
        self._project = run.path.parents[1]
        self._folder = folder
        self._made: dict[str, tuple[RunDirectory, Any]] = {}

    def copy(self, name: str) -> RunDirectory:
        project = self._folder / name
        shutil.copytree(self._project, project, ignore=shutil.ignore_patterns("cache"))
        text = (project / "play.txt").read_text(encoding="utf-8")
        (project / "moved.txt").write_text(text, encoding="utf-8")
        (project / "train.txt").write_text(text[:27_000], encoding="utf-8")
        (project / "val.txt").write_text(text[27_000:], encoding="utf-8")
        return RunDirectory(project / "runs/tiny-001")

    def gone_on(self, overrides: Mapping[str, str]) -> tuple[RunDirectory, Any]:
        """The run gone on with, and the backend that has trained it; what was done once is looked up."""
        key = json.dumps(overrides, sort_keys=True)
        if key not in self._made:
            run = self.copy(str(len(self._made)))
            if checkpoints := overrides.get("output_config.checkpoint_dir"):
                shutil.copytree(run.path / "checkpoints", run.path.parents[1] / checkpoints / run.id)
            opened: list[Any] = []
            with pytest.MonkeyPatch.context() as patched:
                real = open_backend

                def opening(*arguments: Any) -> Any:
                    opened.append(real(*arguments))
                    return opened[-1]

                patched.setattr(process, "open_backend", opening)
                resume(run, overrides, show_progress=False)
            self._made[key] = run, opened[0]
        return self._made[key]


@pytest.fixture(scope="module")
def copies(stopped: RunDirectory, tmp_path_factory: pytest.TempPathFactory) -> Copies:
    return Copies(stopped, tmp_path_factory.mktemp("copies"))


def test_the_table_has_every_key() -> None:
    assert list(TABLE) == list(KEYS)


@pytest.mark.parametrize("key", [key for key, entry in TABLE.items() if isinstance(entry, Done)])
def test_what_is_accepted_is_done(key: str, copies: Copies) -> None:
    entry = TABLE[key]
    assert isinstance(entry, Done)
    run, backend = copies.gone_on({**entry.beside, key: entry.value})
    other, _ = copies.gone_on(entry.compared)
    assert entry.shows(run, other, backend)
    # What lies on the disk says the same: the run's config, and the plan that the last checkpoint was trained by.
    plan = run.plan()
    assert plan is not None
    said = values_of(plan)[key]
    assert said == json_value(entry.value)
    trained = json.loads((last(run) / "trainer/plan.json").read_text(encoding="utf-8"))
    assert trained[key.split(".", maxsplit=1)[0]][key.split(".")[1]] == said


def json_value(words: str) -> object:
    try:
        return json.loads(words)
    except ValueError:
        return words


@pytest.mark.parametrize("key", [key for key, entry in TABLE.items() if isinstance(entry, Refused)])
def test_what_is_refused_is_refused_with_the_reason_and_changes_nothing(key: str, stopped: RunDirectory) -> None:
    entry = TABLE[key]
    assert isinstance(entry, Refused)
    before = {path: path.read_bytes() for path in stopped.path.rglob("*") if path.is_file() and path.name != "lock"}
    with pytest.raises(TricksterError) as caught:
        resume(stopped, {key: entry.value}, show_progress=False)
    assert caught.value.code == entry.code
    assert key in caught.value.message and entry.because in caught.value.message
    after = {path: path.read_bytes() for path in stopped.path.rglob("*") if path.is_file() and path.name != "lock"}
    assert after == before


def test_a_value_that_another_key_makes_idle_is_refused(stopped: RunDirectory) -> None:
    with pytest.raises(TricksterError) as caught:
        resume(stopped, {"focal_gamma": "3"}, show_progress=False)
    assert caught.value.code == "no-effect"
    assert "focal" in caught.value.message
