"""The command line as a person uses it: what works, and what happens when something is wrong."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from tests.engine.conftest import trickster
from trickster_engine.cli import main
from trickster_engine.config import Plan, check, preset_names, preset_text
from trickster_engine.data.batches import Tokens
from trickster_engine.data.prepare import prepare
from trickster_engine.inference.load import load_model
from trickster_engine.model.llama import Llama
from trickster_engine.runs import RunDirectory, find_runs

Config = Callable[..., Path]


@pytest.fixture
def finished(tiny_config: Config, capsys: pytest.CaptureFixture[str]) -> RunDirectory:
    path = tiny_config()
    assert main(["train", str(path)]) == 0
    capsys.readouterr()
    return RunDirectory(path.parent / "runs" / "tiny-001")


def test_train_prints_the_facts_the_evaluations_and_what_to_do_next(
    tiny_config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tiny_config()
    assert main(["train", str(path)]) == 0
    text = capsys.readouterr().out
    for expected in (
        "training tokens",
        "Step 0: train loss 5.5",
        "Step 12: train loss",
        "ROMEO:",
        "Finished at step 12; best validation loss",
        f"trickster sample {path.parent / 'runs' / 'tiny-001'}",
    ):
        assert expected in text


def test_noise_of_an_untrained_model_cannot_upset_the_terminal(
    tiny_config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tiny_config(sampling_config={"max_new_tokens": 200, "temperature": 1.5})
    assert main(["train", str(path)]) == 0
    run = RunDirectory(path.parent / "runs" / "tiny-001")
    events = [json.loads(line) for line in (run.path / "events.jsonl").read_text("utf-8").splitlines()]
    written = "".join(event["text"] for event in events if event["kind"] == "sample")
    assert not set(map(chr, range(32))).isdisjoint(set(written) - {"\n"}), "the noise does hold control characters"
    for shown in (capsys.readouterr().out, (run.path / "samples.md").read_text("utf-8")):
        assert all(character.isprintable() or character in "\n\t" for character in shown)


def test_train_as_json_prints_every_event(tiny_config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    path = tiny_config()
    assert main(["train", str(path), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["kind"] for line in lines} == {"run", "status", "step", "eval", "layers", "sample", "checkpoint"}
    written = (path.parent / "runs/tiny-001/events.jsonl").read_text().splitlines()
    kept = [json.loads(line) for line in written]
    assert all(event.pop("sum") for event in kept)
    assert [line for line in lines if line["kind"] != "run"] == kept


def test_overrides_are_written_into_the_text_that_is_kept(tiny_config: Config) -> None:
    path = tiny_config()
    assert main(["train", str(path), "--set", "training_config.max_steps=5"]) == 0
    run = RunDirectory(path.parent / "runs" / "tiny-001")
    assert "max_steps: 5" in run.config_path.read_text()
    assert run.summary().step == 5


def test_check_says_where_and_what(tiny_config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    path = tiny_config(model_config={"num_heads": 3})
    assert main(["check", str(path)]) == 1
    error = capsys.readouterr().err
    assert f"{path}:5:" in error
    assert "32" in error
    assert main(["check", str(path), "--json"]) == 1
    problems = json.loads(capsys.readouterr().out)["problems"]
    (problem,) = [p for p in problems if p["severity"] == "error"]
    assert problem["range"]["start"]["line"] == 4
    assert problem["code"]
    assert main(["check", str(tiny_config())]) == 0


def test_positions_as_json_count_utf16_as_editors_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.yaml"
    path.write_text('data_config: {corpus: "😀😀.txt", tokeniser: byte}\n', encoding="utf-8")
    main(["check", str(path), "--json"])
    problems = json.loads(capsys.readouterr().out)["problems"]
    (problem,) = [p for p in problems if "tokeniser" in p["message"]]
    text = path.read_text("utf-8")
    assert problem["range"]["start"]["character"] == len(text[: text.index("tokeniser")].encode("utf-16-le")) // 2


def test_estimate_gives_the_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", "--preset", "nano", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"]["total"] == 5_180_672
    assert main(["estimate", "--preset", "nano", "--no-calibrate"]) == 0
    assert "5,180,672" in capsys.readouterr().out


def test_presets_are_listed_printed_and_pass_their_own_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["presets"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names[:8] == ["pico", "fast", "best", "nano", "nano-11m", "mini", "midi", "mega"]
    for name in names:
        assert main(["presets", name]) == 0
        path = tmp_path / f"{name}.yaml"
        path.write_text(capsys.readouterr().out)
        assert main(["estimate", str(path), "--no-calibrate"]) == 0
        capsys.readouterr()


def test_inspect_shows_the_first_loss_near_ln_v(tiny_config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tiny_config()), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["random_loss"] == pytest.approx(found["uniform_loss"], rel=0.05)
    assert found["shapes"][-1]["output"] == [1, 32, 256]
    assert found["parameters"]["total"] > 0
    assert main(["inspect", str(tiny_config())]) == 0
    assert "uniform prediction: ln V = 5.5452" in capsys.readouterr().out


@pytest.mark.parametrize("preset", ["pico", "nano"])
def test_the_first_loss_of_the_presets_is_near_ln_v(
    preset: str, tmp_path: Path, corpus: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", "--preset", preset, "--set", "data_config.corpus=play.txt", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["random_loss"] == pytest.approx(found["uniform_loss"], rel=0.05)


def test_sample_continues_the_prompt_and_repeats_itself_for_a_seed(
    finished: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["sample", str(finished.path), "--prompt", "KING:", "--max-new-tokens", "30", "--seed", "4"]
    texts = []
    for _ in range(2):
        assert main(arguments) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    assert texts[0].startswith("KING:")
    assert main([*arguments, "--prompt", "JULIET:", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [sample["prompt"] for sample in answer["samples"]] == ["KING:", "JULIET:"]
    for checkpoint in ("final", "latest", "step-000012"):
        assert main([*arguments, "--checkpoint", checkpoint]) == 0


@pytest.mark.parametrize("prompt", ["-x", "--king", "-1"])
def test_a_prompt_may_begin_with_a_dash(
    prompt: str, finished: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sample", str(finished.path), "-p", prompt, "--max-new-tokens", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["samples"][0]["prompt"] == prompt


@pytest.mark.parametrize("prompt", ["ROMEO:\n", " lead", " ", "trail "])
def test_set_takes_a_text_as_it_is(prompt: str, tiny_config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    path = tiny_config()
    assert main(["check", str(path), "--set", f"sampling_config.prompt={prompt}", "--json"]) == 0
    capsys.readouterr()
    assert main(["presets", "nano", "--set", f"sampling_config.prompt={prompt}"]) == 0
    plan = check(capsys.readouterr().out).plan
    assert plan is not None
    assert plan.sampling.prompt == prompt


def test_the_first_command_of_the_readme_shortens_the_warm_up_with_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in preset_names():
        path = tmp_path / f"{name}.yaml"
        path.write_text(preset_text(name), encoding="utf-8")
        assert main(["check", str(path), "--set", "training_config.max_steps=200"]) == 0, name
        said = "note: the run is shorter than its warm-up. Set warmup_steps to 20" in capsys.readouterr().err
        assert said == (cast(Plan, check(preset_text(name)).plan).training.warmup_steps >= 200), name


def test_sample_holds_its_options_to_their_ranges(finished: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", str(finished.path), "--temperature", "-1"]) == 2
    assert "temperature" in capsys.readouterr().err
    assert main(["sample", str(finished.path), "--checkpoint", "step-000777"]) == 1
    said = capsys.readouterr().err
    assert "step-000777" in said and "[checkpoint-missing]" in said


def test_compare_proves_that_it_learned(tiny_config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    path = tiny_config(training_config={"max_steps": 60, "eval_interval": 60, "save_interval": 60})
    assert main(["train", str(path)]) == 0
    run = path.parent / "runs" / "tiny-001"
    capsys.readouterr()
    assert main(["compare", str(run), "--prompt", "KING:", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    nats = {row["name"]: row["nats"] for row in answer["rows"]}
    counting = ["uniform", "unigram", "bigram", "trigram", "4-gram", "4-gram, dynamic"]
    assert list(nats) == [*counting, "random model", "this model", "this model, strided"]
    model, _, _ = load_model(run)
    dataset = prepare(cast(Plan, check(path.read_text("utf-8")).plan), path.parent, progress=False)
    (strided,) = [nats[name] for name in nats if name.endswith("strided")]
    assert strided == pytest.approx(_from_half_a_window(model, dataset.val), abs=1e-5)
    assert nats["random model"] == pytest.approx(nats["uniform"], rel=0.05)
    assert nats["this model"] < nats["unigram"] < nats["random model"]
    for row in answer["rows"]:
        assert row["bits_per_byte"] == pytest.approx(row["nats"] / 0.6931471805599453)
    assert nats["this model"] == pytest.approx(RunDirectory(run).summary().best_val_loss, abs=1e-5)
    assert answer["samples"][0]["random"] != answer["samples"][0]["trained"]
    assert set(answer["texts"]) == {"random model", "this model", "held-out text"}
    assert (answer["characters"], answer["temperature"]) == (1000, 0.8)
    assert main(["compare", str(run)]) == 0
    text = capsys.readouterr().out
    assert "UNTRAINED MODEL" in text
    assert "trained model, strided" in text
    assert "longest copy" in text
    assert "In 1,000 characters generated after the prompt, at temperature 0.8" in text


def _from_half_a_window(model: Llama, tokens: Tokens) -> float:
    """Strided evaluation as Hugging Face's page on perplexity has it: window by window, `-100` for what is known."""
    text, length = torch.from_numpy(np.asarray(tokens[:], dtype=np.int64)), model.config.max_seq_len
    total, done = 0.0, 0
    for start in range(0, len(text) - 1, length // 2):
        end = min(start + length, len(text) - 1)
        targets = text[start + 1 : end + 1].clone()
        targets[: max(0, done - start)] = -100
        with torch.no_grad():
            total += cross_entropy(model(text[start:end][None])[0], targets, reduction="sum").item()
        done = end
        if end == len(text) - 1:
            return total / end
    raise AssertionError("the text is too short")


def test_runs_lists_them(finished: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(finished.path.parent)
    assert main(["runs", folder]) == 0
    assert "tiny-001" in capsys.readouterr().out
    assert main(["runs", folder, "--json"]) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert (run["status"], run["step"], run["max_step"]) == ("finished", 12, 12)
    assert main(["runs", str(finished.path / "final")]) == 0
    assert "No runs" in capsys.readouterr().out


def test_a_run_goes_by_the_name_in_the_list(
    finished: RunDirectory, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished.path.parent.parent)
    assert main(["train", "tiny.yaml", "--run-dir", "runs/another"]) == 0
    capsys.readouterr()
    assert main(["runs"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == ["run", "tiny-001", "another"], "the newest last, whatever it is called"
    for name in listed[1:]:
        assert main(["sample", name, "--max-new-tokens", "3"]) == 0
    assert main(["sample", "tiny-002"]) == 1
    assert "[not-a-run]" in capsys.readouterr().err


def test_prepare_describes_the_text(tiny_config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", str(tiny_config()), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["train_tokens"] + answer["val_tokens"] == 30_000
    assert answer["baselines"]["unigram"] < answer["baselines"]["uniform"]


def test_a_loss_in_subwords_is_told_in_bits_per_byte_wherever_it_stands_beside_others(
    tiny_config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    """A token of several bytes is harder to guess than one: whoever compares needs the same unit, of UTF-8's bytes."""
    path = tiny_config(model_config={"vocab_size": 300}, data_config={"tokenizer": "bpe"})
    play = path.parent / "play.txt"
    play.write_text(play.read_text("utf-8").replace("a", "\N{LATIN SMALL LETTER A WITH DIAERESIS}"), "utf-8")
    assert main(["train", str(path)]) == 0
    told = capsys.readouterr().out
    run = RunDirectory(path.parent / "runs" / "tiny-001")
    nats, bits = map(float, re.findall(r"val loss ([\d.]+) \(([\d.]+) bits/byte", told)[-1])
    dataset = prepare(cast(Plan, check(path.read_text("utf-8")).plan), path.parent, progress=False)
    predicted = dataset.tokenizer.decode(dataset.val[1:]).encode()
    assert len(predicted) > 1.05 * len(predicted.decode()), "bytes are no characters here"
    exact = RunDirectory(run.path).summary().best_val_loss
    assert exact is not None and exact == pytest.approx(nats, abs=6e-4)
    per_byte = exact * (len(dataset.val) - 1) / len(predicted) / math.log(2)
    assert bits == pytest.approx(per_byte, abs=6e-4)
    assert main(["runs", str(run.path.parent)]) == 0
    assert re.search(rf"{exact:.4f} +{per_byte:.4f} ", capsys.readouterr().out)
    assert main(["compare", str(run.path), "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert rows["this model"]["bits_per_byte"] == pytest.approx(per_byte, rel=1e-4)
    assert main(["report", str(run.path)]) == 0
    page = (run.path / "report.html").read_text("utf-8")
    assert f"<b>{per_byte:.3f}</b><small>the same in bits/byte" in page
    assert f"{rows['this model, strided']['bits_per_byte']:.3f} bits/byte" in page
    assert f"| **{per_byte:.4f}** |" in (run.path / "final" / "README.md").read_text("utf-8")


def start_training(path: Path) -> subprocess.Popen[str]:
    """A trainer with no end in sight; returns once its first step event is written."""
    process = subprocess.Popen(
        [sys.executable, "-m", "trickster_engine", "train", str(path), "--json"],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stdout
    for line in process.stdout:
        if json.loads(line)["kind"] == "step":
            break
    return process


@pytest.mark.parametrize("how", ["stop command", "SIGTERM", "SIGINT"])
def test_stopping_saves_first(tiny_config: Config, how: str) -> None:
    path = tiny_config(training_config={"max_steps": 1_000_000, "eval_interval": 1_000_000, "save_interval": 1_000_000})
    process = start_training(path)
    (run,) = find_runs(path.parent / "runs")
    assert run.is_live()
    if how == "stop command":
        answer = trickster("stop", run.path)
        assert answer.returncode == 0, answer.stderr
        assert "trickster resume" in answer.stdout
    else:
        process.send_signal(getattr(signal, how))
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 3
    events = [json.loads(line) for line in out.splitlines()]
    assert events[-1]["status"] == "stopped"
    saved = [event for event in events if event["kind"] == "checkpoint"]
    assert saved[-1]["step"] == events[-1]["step"]
    assert not run.stop_requested()
    answer = trickster("stop", run.path)
    assert answer.returncode == 1
    assert "is not being trained" in answer.stderr


BAD = {
    "missing corpus": ({"data_config": {"corpus": "nowhere.txt"}}, "nowhere.txt", "corpus-missing"),
    "empty corpus": ({"data_config": {"corpus": "empty.txt"}}, "empty.txt", "corpus-too-short"),
    "binary corpus": ({"data_config": {"corpus": "binary.bin"}}, "binary.bin", "corpus-binary"),
    "latin-1 corpus": ({"data_config": {"corpus": "latin.txt"}}, "latin.txt", "corpus-not-utf8"),
    "short corpus": ({"data_config": {"corpus": "short.txt"}}, "short.txt", "corpus-too-short"),
    "unwritable output": ({"output_config": {"output_dir": "play.txt/runs"}}, "play.txt", "output-not-writable"),
    "no such device": ({"device_config": {"device_type": "mps"}}, "mps", "device-unavailable"),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_input_is_one_screen_and_leaves_nothing(
    case: str, tiny_config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes, named, code = BAD[case]
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "binary.bin").write_bytes(bytes(range(256)) * 50)
    (tmp_path / "latin.txt").write_bytes("Grüße aus Köln. ".encode("latin-1") * 100)
    (tmp_path / "short.txt").write_text("too short")
    path = tiny_config("bad", **changes)
    assert main(["train", str(path)]) == 1
    error = capsys.readouterr().err
    assert named in error and f"[{code}]" in error
    assert "Traceback" not in error
    assert 1 < len(error.strip().splitlines()) <= 12
    assert not list((tmp_path / "runs").glob("*"))


def test_broken_yaml_unknown_presets_and_unreadable_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("model_config:\n  hidden_dim: [1, 2\n")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    for arguments, expected in (
        (["train", str(broken)], "broken.yaml:2:15: error: "),
        (["train", str(broken)], "[config-invalid]"),
        (["train", str(binary)], "[not-text]"),
        (["train", str(tmp_path / "none.yaml")], "[config-unreadable]"),
        (["train", str(tmp_path)], "a folder, not a plain file. [config-unreadable]"),
        (["estimate", "--preset", "pica"], "Did you mean pico? [preset-unknown]"),
        (["train", "--preset", "pico", "--set", "training_config.max_steps"], "no value. [bad-override]"),
        (
            ["train", "--preset", "pico", "--set", "training_config.max_step=3"],
            "training_config.max_steps? [bad-override]",
        ),
        (["sample", str(tmp_path)], "[not-a-run]"),
        (["resume", str(tmp_path)], "[not-a-run]"),
        (["compare", str(tmp_path)], "[not-a-run]"),
    ):
        assert main(arguments) in (1, 2), arguments
        error = capsys.readouterr().err
        assert expected in error, (arguments, error)
        assert "Traceback" not in error


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.name == "nt", reason="needs POSIX limits on file sizes")
def test_a_full_disk_stops_cleanly_with_the_last_checkpoint_whole(tiny_config: Config) -> None:
    """A limit on the size of files stands for the full disk: writes fail in the same way, at the same calls."""
    # The long prompt is repeated in every sample, so that events.jsonl reaches the limit soon; checkpoints stay below.
    path = tiny_config(
        training_config={"max_steps": 3000, "save_interval": 1, "eval_interval": 2},
        sampling_config={"prompt": "ROMEO:" * 5000, "max_new_tokens": 2},
    )
    code = (
        "import resource, signal, sys; from trickster_engine.cli import main;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (250_000, 250_000));"
        "sys.exit(main(sys.argv[1:]))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, "train", str(path)],
        capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert answer.returncode == 4, answer.stderr
    assert "disk is full" in answer.stderr.lower()
    assert "Traceback" not in answer.stderr
    (run,) = find_runs(path.parent / "runs")
    from trickster_engine.model.checksums import verify

    folders = sorted((run.path / "checkpoints").glob("step-*"))
    assert folders
    for folder in folders:
        verify(folder)
    assert not list(run.path.rglob("*.tmp"))
    assert main(["sample", str(run.path), "--checkpoint", "latest", "--max-new-tokens", "5"]) == 0


def test_quickstart_without_network_trains_on_pythons_own_source(tmp_path: Path) -> None:
    environment = {
        "TRICKSTER_CORPUS_DIR": str(tmp_path),
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }
    answer = trickster(
        "quickstart", "--set", "training_config.max_steps=2", "--set", "training_config.warmup_steps=1",
        "--set", "data_config.val_fraction=0.001", cwd=tmp_path, **environment,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert "No network and no copy of Tiny Shakespeare" in answer.stderr
    assert "UNTRAINED MODEL" in answer.stdout
    assert "trigram" in answer.stdout
    strict = trickster("train", "--preset", "pico", cwd=tmp_path, **environment)
    assert strict.returncode == 1
    assert "TRICKSTER_CORPUS_DIR" in strict.stderr


def test_help_is_for_newcomers(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "to start:" in text
    assert "exit codes" in text
    with pytest.raises(SystemExit) as caught:
        main(["no-such-command"])
    assert caught.value.code == 2
