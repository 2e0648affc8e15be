"""Training end to end, in this process, on a small corpus."""

from __future__ import annotations

import itertools
import json
import math
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.engine.training.reading import of_kind
from tests.refusals import refused
from trickster_engine.backends.base import NonFiniteError
from trickster_engine.backends.torch.backend import TorchBackend
from trickster_engine.backends.torch.losses import training_loss
from trickster_engine.config import check
from trickster_engine.config.plan import Plan, TrainingConfig
from trickster_engine.data.amounts import tokens_per_step
from trickster_engine.data.batches import Batch, TrainingBatches, validation_windows
from trickster_engine.data.cache import cache_directory
from trickster_engine.data.prepare import prepare
from trickster_engine.errors import TricksterError
from trickster_engine.estimates.learning_rate import learning_rate_factor
from trickster_engine.estimates.speeds import expected_time, read_speeds
from trickster_engine.runs import RunDirectory, RunIdentity, read_events
from trickster_engine.runs.event_types import Event
from trickster_engine.training.start import start

Config = Callable[..., Path]


def plan_of(path: Path) -> Plan:
    plan = check(path.read_text(), path.parent).plan
    assert plan is not None
    return plan


def train(path: Path) -> tuple[RunDirectory, str, list[Event]]:
    run, outcome = start(path, path.read_text(), plan_of(path), show_progress=False)
    return run, outcome, read_events(run.events_path)[0]


def test_a_finished_run_teaches_the_estimates(tiny_config: Config) -> None:
    path = tiny_config(training_config={"max_steps": 20, "log_interval": 5})
    run, _, events = train(path)
    rates = [event["tokens_per_s"] for event in of_kind(events, "step")]
    expected = expected_time(plan_of(path), read_speeds(cache_directory()))
    assert expected is not None and (expected.source, expected.run) == ("measured", run.id)
    assert expected.seconds == pytest.approx(20 * tokens_per_step(plan_of(path)) / statistics.median(rates))


def test_a_run_learns_and_writes_down_everything(tiny_config: Config) -> None:
    run, outcome, events = train(tiny_config(training_config={"max_steps": 60, "eval_interval": 20}))
    assert outcome == "finished"
    assert run.id == "tiny-001"
    evals = of_kind(events, "eval")
    assert [event["step"] for event in evals] == [0, 20, 40, 60]
    assert evals[0]["val_loss"] == pytest.approx(math.log(256), rel=0.05)
    assert evals[-1]["val_loss"] < evals[0]["val_loss"] - 1.5
    assert evals[-1]["perplexity"] == pytest.approx(math.exp(evals[-1]["val_loss"]))
    assert [event["step"] for event in of_kind(events, "sample")] == [0, 20, 40, 60]
    steps = of_kind(events, "step")
    assert steps[-1]["step"] == 60
    assert all(event["tokens_per_s"] > 0 and event["grad_norm"] > 0 for event in steps)
    assert steps[-1]["eta_s"] == 0
    assert steps[0]["eta_s"] is None
    statuses = [event["status"] for event in of_kind(events, "status")]
    assert statuses[:2] == ["starting", "preparing"]
    assert statuses[-1] == "finished"
    assert events == sorted(events, key=lambda event: event["t"])

    identity = run.identity()
    assert isinstance(identity, RunIdentity)
    assert identity.device == "cpu"
    assert identity.data["train_tokens"] + identity.data["val_tokens"] == 30_000
    assert identity.parameters == sum(
        p.numel() for p in TorchBackend(plan_of(run.config_path), "cpu").model.parameters()
    )
    assert run.config_path.read_text() == (run.path.parent.parent / "tiny.yaml").read_text()
    assert (run.path / "final" / "model.safetensors").is_file()
    assert "## Step 60" in (run.path / "samples.md").read_text()
    best = json.loads((run.path / "best.json").read_text())
    assert best["val_loss"] == min(event["val_loss"] for event in evals)
    assert (run.path / best["path"] / "config.json").is_file()
    assert not run.is_live()
    assert run.summary().status == "finished"


def test_two_runs_of_one_config_are_the_same_and_do_not_touch_each_other(tiny_config: Config) -> None:
    path = tiny_config()
    first, _, events = train(path)
    second, _, again = train(path)
    assert (first.id, second.id) == ("tiny-001", "tiny-002")
    losses = [[event["val_loss"] for event in of_kind(each, "eval")] for each in (events, again)]
    assert losses[0] == losses[1]


def test_checkpoints_kept_are_the_best_and_the_newest_two(tiny_config: Config) -> None:
    run, _, events = train(tiny_config(training_config={"max_steps": 30, "eval_interval": 5, "save_interval": 4}))
    losses = {event["step"]: event["val_loss"] for event in of_kind(events, "eval") if event["step"]}
    best = sorted(losses, key=lambda step: losses[step])[:2]
    kept = sorted(int(folder.name[5:]) for folder in (run.path / "checkpoints").iterdir())
    saved = sorted(event["step"] for event in of_kind(events, "checkpoint"))
    assert set(kept) == set(best) | set(saved[-2:])


def test_evaluation_covers_the_whole_held_out_text_whatever_the_batch_size(tiny_config: Config) -> None:
    plan = plan_of(tiny_config())
    dataset = prepare(plan, tiny_config().parent, progress=False)
    backend = TorchBackend(plan, "cpu")
    length = plan.model.max_seq_len
    losses = [backend.evaluate(validation_windows(dataset.val, length, rows)) for rows in (1, 3, 64)]
    assert max(losses) - min(losses) < 1e-6
    targets = sum(y.size for _, y in validation_windows(dataset.val, length, 3))
    assert targets == len(dataset.val) - 1


def test_accumulating_gradients_is_the_same_update_as_one_large_batch(tiny_config: Config) -> None:
    folder = tiny_config().parent
    results = []
    for batch_size, accumulation in ((8, 1), (2, 4)):
        plan = plan_of(
            tiny_config(
                model_config={"dropout": 0.0},
                training_config={
                    "batch_size": batch_size, "gradient_accumulation_steps": accumulation, "optimizer": "adamw",
                },
            )
        )  # fmt: skip
        backend = TorchBackend(plan, "cpu")
        tokens = prepare(plan, folder, progress=False).train
        batches = TrainingBatches(tokens, plan.model.max_seq_len, batch_size, plan.training.seed)
        for step in range(4):
            result = backend.step([batches.batch(step, index, accumulation) for index in range(accumulation)], 1.0)
            results.append((result.loss, result.grad_norm))
    np.testing.assert_allclose(results[:4], results[4:], rtol=1e-3)


def test_the_gradient_is_clipped_to_the_limit(tiny_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(tiny_config(training_config={"grad_clip": 0.001, "optimizer": "adamw"}))
    backend = TorchBackend(plan, "cpu")
    x = np.zeros((4, 32), np.int64)
    seen: list[float] = []
    original = backend._optimizers.step
    parameters = list(backend.model.parameters())

    def spy(factor: float) -> None:
        seen.append(torch.stack([p.grad.norm() for p in parameters if p.grad is not None]).norm().item())
        original(factor)

    monkeypatch.setattr(backend._optimizers, "step", spy)
    result = backend.step([(x, x)], 1.0)
    assert result.grad_norm > 0.001
    assert seen == [pytest.approx(0.001, rel=1e-3)]


def test_a_loss_that_is_not_finite_stops_before_the_update(tiny_config: Config) -> None:
    backend = TorchBackend(plan_of(tiny_config()), "cpu")
    with torch.no_grad():
        backend.model.model.norm.weight[0] = float("inf")
    before = backend.weights()["model.embed_tokens.weight"].copy()
    x = np.ones((4, 32), np.int64)
    with pytest.raises(NonFiniteError):
        backend.step([(x, x)], 1.0)
    assert np.array_equal(before, backend.weights()["model.embed_tokens.weight"])


def test_a_run_whose_loss_explodes_says_what_to_change_and_keeps_sound_weights(
    tiny_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Weights that overflow in the forward pass from the fifth step on.
    original = TorchBackend.step

    steps = itertools.count(1)

    def explode_later(self: TorchBackend, batches: list[Batch], factor: float) -> object:
        if next(steps) == 5:
            with torch.no_grad():
                self.model.model.norm.weight.fill_(3e38)
        return original(self, batches, factor)

    monkeypatch.setattr(TorchBackend, "step", explode_later)
    path = tiny_config()
    with pytest.raises(TricksterError) as caught:
        train(path)
    assert caught.value.code == "loss-not-finite"
    assert "step 5" in caught.value.message
    assert "learning_rate" in caught.value.advice
    assert caught.value.exit_code == 4
    run = RunDirectory(path.parent / "runs" / "tiny-001")
    assert run.summary().status == "failed"
    errors = of_kind(read_events(run.events_path)[0], "error")
    assert [error["code"] for error in errors] == ["loss-not-finite"]


def test_early_stopping_waits_for_its_patience(tiny_config: Config) -> None:
    _, outcome, events = train(
        tiny_config(
            training_config={
                "max_steps": 400,
                "eval_interval": 2,
                "early_stopping_patience": 2,
                "early_stopping_min_delta": 5.0,  # which no evaluation does
            }
        )
    )
    assert outcome == "finished"
    # Step 2 is the first that counts (step 0 is chance); steps 4 and 6 do not improve on it.
    assert of_kind(events, "eval")[-1]["step"] == 6
    assert [event["code"] for event in of_kind(events, "warning")] == ["early-stop"]


def test_a_model_that_does_not_learn_is_noticed(tiny_config: Config) -> None:
    _, _, events = train(
        tiny_config(
            training_config={
                "learning_rate": 1e-9,
                "muon_learning_rate": 1e-9,
                "max_steps": 200,
                "eval_interval": 100,
                "save_interval": 200,
                "batch_size": 1,
            }
        )
    )
    warnings = of_kind(events, "warning")
    assert [warning["code"] for warning in warnings] == ["loss-not-falling"]
    assert "5.5" in warnings[0]["message"]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("loss", ["cross_entropy", "label_smoothing", "focal"])
def test_every_optimizer_and_loss_learns(tiny_config: Config, optimizer: str, loss: str) -> None:
    _, _, events = train(
        tiny_config(
            training_config={
                "optimizer": optimizer, "loss": loss, "max_steps": 40, "eval_interval": 40, "save_interval": 40,
                "learning_rate": 0.01,
            }
        )
    )  # fmt: skip
    first, last = of_kind(events, "eval")
    assert last["val_loss"] < first["val_loss"] - 1


def test_the_losses_are_what_their_formulas_say() -> None:
    logits = torch.tensor([[[2.0, 0.0, -1.0], [0.5, 0.5, 0.0]]])
    targets = torch.tensor([[0, 2]])
    log_p = logits.log_softmax(-1)[0]
    plain = -(log_p[0, 0] + log_p[1, 2]) / 2
    assert training_loss(logits, targets, TrainingConfig()).item() == pytest.approx(plain.item())
    smoothed = 0.9 * plain - 0.1 * log_p.mean()
    found = training_loss(logits, targets, TrainingConfig(loss="label_smoothing", label_smoothing=0.1))
    assert found.item() == pytest.approx(smoothed.item())
    p = log_p.exp()
    focal = (-((1 - p[0, 0]) ** 2) * log_p[0, 0] - ((1 - p[1, 2]) ** 2) * log_p[1, 2]) / 2
    found = training_loss(logits, targets, TrainingConfig(loss="focal", focal_gamma=2.0))
    assert found.item() == pytest.approx(focal.item())


def test_the_learning_rate_rises_and_falls_as_described() -> None:
    training = TrainingConfig(max_steps=100, warmup_steps=10, learning_rate=1e-3, min_learning_rate=1e-4)
    factors = [learning_rate_factor(step, training) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == 1.0
    assert factors[99] == pytest.approx(0.1)
    assert all(a < b for a, b in itertools.pairwise(factors[:10]))
    assert all(a > b for a, b in itertools.pairwise(factors[10:]))
    linear = TrainingConfig(
        max_steps=100, warmup_steps=0, learning_rate=1e-3, min_learning_rate=0, lr_schedule="linear"
    )
    assert learning_rate_factor(49, linear) == pytest.approx(0.5)
    assert learning_rate_factor(99, linear) == 0.0


def test_auto_precision_settles_on_one_that_works(tiny_config: Config) -> None:
    torch.manual_seed(0)
    backend = TorchBackend(plan_of(tiny_config(training_config={"precision": "auto"})), "cpu")
    assert backend.precision in ("fp32", "bf16")
    # Trying them out must leave no trace in the randomness of training.
    fixed = TorchBackend(plan_of(tiny_config()), "cpu")
    assert np.array_equal(backend.random_state()["cpu"], fixed.random_state()["cpu"])


def test_bf16_learns_like_fp32(tiny_config: Config) -> None:
    finals = []
    for precision in ("fp32", "bf16"):
        changes = {"precision": precision, "max_steps": 60, "eval_interval": 60, "save_interval": 60}
        _, _, events = train(tiny_config(training_config=changes))
        finals.append(of_kind(events, "eval")[-1]["val_loss"])
    assert finals[0] == pytest.approx(finals[1], abs=0.05)


def test_folders_named_in_the_config_are_used(tiny_config: Config) -> None:
    run, _, _ = train(tiny_config(output_config={"checkpoint_dir": "elsewhere", "log_dir": "logs"}))
    folder = run.path.parent.parent
    assert sorted(p.name for p in (folder / "elsewhere" / run.id).iterdir())[-1] == "step-000012"
    assert "finished" in (folder / "logs" / run.id / "log.txt").read_text()
    assert run.checkpoints_folder() == folder / "elsewhere" / run.id


def test_tensorboard_gets_the_same_figures(tiny_config: Config) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run, _, events = train(tiny_config(training_config={"tracking": "tensorboard"}))
    log = EventAccumulator(str(run.path / "tensorboard"))
    log.Reload()
    for kind, name in (("eval", "val_loss"), ("step", "loss")):
        curve = [(point.step, point.value) for point in log.Scalars(f"{kind}/{name}")]
        assert curve == [(event["step"], pytest.approx(event[name], rel=1e-6)) for event in of_kind(events, kind)]


def test_a_tracker_that_is_not_installed_is_said_so_before_anything_is_written(
    tiny_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # importing it now fails, as where it is not installed
    path = tiny_config(training_config={"tracking": "wandb"})
    with refused("tracking-unavailable", "wandb"):
        train(path)
    assert not list((path.parent / "runs").iterdir())


def test_a_prompt_the_tokenizer_cannot_read_is_refused_before_training(tiny_config: Config) -> None:
    path = tiny_config(data_config={"tokenizer": "char"}, sampling_config={"prompt": "Ω:"})
    with refused("prompt-unknown-characters", "Ω"):
        train(path)
    assert not list((path.parent / "runs").iterdir())
