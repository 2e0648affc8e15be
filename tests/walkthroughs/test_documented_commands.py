"""Every command in README and docs is done as it stands there, by a user in a folder of their own, or is named here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.engine import test_bench, test_cli, test_inside
from tests.engine.agents import test_transcript
from tests.engine.conftest import subcommands
from tests.engine.domains import test_chess, test_measures
from tests.engine.interop import test_export, test_nanogpt_data
from tests.engine.serving import test_clients
from tests.engine.training import test_alerts, test_machines, test_processes
from tests.engine.ttml import test_import_config, test_ttml_pickle
from tests.walkthroughs.pages import PAGES as LESSON
from tests.walkthroughs.pages import ROOT, page, shell_commands
from tests.walkthroughs.reader import Done, Reader
from trickster_engine.errors import EXIT_STOPPED

PROGRAMS = "trickster|make|pip|python|source|code|npm|git|torchrun|tensorboard|wandb|curl"
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
#: What another test does, with what it needs: several processes, a board's file, no network.
ELSEWHERE: dict[str, Callable[..., Any]] = {
    "trickster corpus chess --to chess": test_chess.test_the_command_writes_a_text_and_a_config_that_can_be_trained,
    "trickster train chess/chess.yaml": test_chess.test_the_command_writes_a_text_and_a_config_that_can_be_trained,
    "trickster evaluate runs/chess-001 --measure chess": test_measures.test_a_measure_of_ones_own_in_twenty_lines,
    "trickster evaluate RUN --measure limericks.py:measure": test_measures.test_a_measure_of_ones_own_in_twenty_lines,
    "trickster report RUN --measure chess": test_measures.test_a_measure_of_ones_own_in_twenty_lines,
    "trickster export runs/nano-001 --to gguf": test_export.test_a_gguf_file_is_the_model_to_transformers,
    "trickster export runs/nano-001 --to onnx": test_export.test_onnxruntime_writes_the_same,
    "trickster serve runs/nano-001": test_clients.test_openais_client_gets_what_trickster_samples,
    "trickster import-data FOLDER OUT": test_nanogpt_data.test_characters_come_back_as_the_text,
    "trickster mcp": test_transcript.test_an_agent_comes_from_a_folder_of_text_to_an_explained_model,
    "trickster mcp --folder DIR": test_transcript.test_an_agent_comes_from_a_folder_of_text_to_an_explained_model,
    "trickster train --on-alert COMMAND": test_alerts.test_a_run_tells_a_webhook_and_a_command_and_waits_for_neither,
    "trickster quickstart": test_cli.test_quickstart_without_network_trains_on_pythons_own_source,
    "trickster import-checkpoint step_500.pkl model --tokenizer FOLDER": (
        test_ttml_pickle.test_the_command_line_makes_a_model_directory_of_it
    ),
    "trickster resume RUN --set device_config.mesh_shape=[1,2]": (
        test_processes.test_a_lost_process_ends_the_job_and_any_number_goes_on
    ),
    "trickster launch my.yaml --run-dir runs/my-run --nnodes 2 --rdzv-endpoint first-machine:29400": (
        test_machines.test_a_machine_that_is_cut_off_and_comes_back
    ),
    'trickster inside runs/nano-001 --text "To be or not" --off 0.1 --off 0.2': (
        test_inside.test_the_command_prints_a_table
    ),
    "trickster inside runs/nano-001 --json": test_inside.test_the_command_prints_a_table,
    "trickster bench --preset nano": test_bench.test_the_command_prints_figures_and_json,
}
#: What cannot be done here, and why.
NOT_HERE = {
    "trickster bench docs/speed/sprint.yaml --until 1.8857": "it trains for minutes on a whole machine",
    "trickster doctor --self-test --simulated": "it takes ttsim, and ttml built for it",
    "pip install .": "tests/shipping installs the wheel into an environment of its own",
    "pip install rdkit": "it takes the network",
    "pip install --no-deps molsets==0.3.1": "it takes the network",
    "pip install chess": "it takes the network",
    "pip install pyarrow backports.zstd": "it takes the network",
    "pip install rensa": "it takes the network",
    "lm_eval --model hf --model_args pretrained=runs/NAME/final": "it takes lm-eval",
    "pip install music21": "it takes the network",
    "trickster corpus tunes --to TUNES": "it takes music21; make test-domains does it",
    "make train": "it makes an environment from the network",
    "make setup": "it makes an environment from the network",
    "make bench": "it wants a quiet machine for many minutes",
    "make code": "it opens VS Code",
    "make vsix": "the packaging has tests of its own, in a real VS Code",
    "make test": "it is what runs this",
    "make generate": "it rewrites the repository; tests compare what it makes with what is kept",
    "code --install-extension build/trickster.vsix": "it takes VS Code",
    "npm audit --omit=dev": "it asks a registry",
    "git clone https://github.com/ggml-org/llama.cpp": "it takes the network",
    "pip install gguf transformers": "it takes the network",
    "pip install prometheus_client starlette uvicorn": "it takes the network",
    "pip install vllm": "it takes the network and a GPU",
    "pip install -e .[dev,bench]": "it takes the network",
    "python -m trickster_engine.interop.gguf llama.cpp runs/nano-001/final --outfile nano.gguf --outtype f32": (
        "it takes a checkout of llama.cpp"
    ),
    'llama-completion -m nano.gguf -p "ROMEO:" -n 200 --temp 0.8 -no-cnv': "it takes llama.cpp",
    "vllm serve runs/nano-001/final --max-model-len 512": "it takes vLLM and a GPU",
    "curl http://localhost:8000/v1/completions": "it takes vLLM and a GPU",
    "tensorboard --logdir runs": "it serves until it is stopped; its files are read in test_tracking.py",
    "wandb sync": "it uploads",
    "source .venv/bin/activate": "it is the shell's",
}


def documented() -> list[str]:
    """Every command, once, in the order of the pages: lines of ```sh blocks, and code that begins with a program."""
    found: list[str] = []
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        for block in re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL):
            found += block.replace("\\\n", " ").splitlines()
        for code in re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
            words = " ".join(code.split())
            if re.match(
                r"(trickster|make|pip|python|source|code|npm|git|torchrun|tensorboard|wandb|curl) [^=(]", words
            ):
                found.append(words)
    return list(dict.fromkeys(line.strip() for line in found if line.strip()))


SUBCOMMANDS = subcommands()


def is_mention(line: str) -> bool:
    """Whether a line names a command, or one of its options, without what it would need: `trickster check`."""
    _, name, *words = line.split()
    if name not in SUBCOMMANDS or not all(word.startswith("--") for word in words):
        return False
    parser = SUBCOMMANDS[name]
    assert all(word in parser._option_string_actions for word in words), line
    positional = [action for action in parser._actions if not action.option_strings]
    grouped = any(group.required for group in parser._mutually_exclusive_groups)
    return grouped or any(action.nargs != "?" for action in positional)


DOCUMENTED = documented()
NAMED = [*ELSEWHERE, *NOT_HERE]
#: The lesson's lines are typed in `test_commands.py`.
TYPED_THERE = {line for name in LESSON for line in shell_commands(page(name))}
TYPED = [
    line
    for line in DOCUMENTED
    if line.startswith("trickster ") and line not in {*NAMED, *TYPED_THERE} and not is_mention(line)
]


def test_every_command_is_done_here_or_named() -> None:
    others = [line for line in DOCUMENTED if not line.startswith("trickster ")]
    ours = re.compile(r"python -m (trickster_engine|tests|tools)\.")
    left = [line for line in others if not (line.startswith(tuple(NOT_HERE)) or ours.match(line))]
    assert left == []
    for line in others:  # modules of the repository, which is not where a user stands
        if (module := re.match(r"python -m ((?:trickster_engine|tests|tools)[\w.]+)", line)) is not None:
            path = ROOT / module[1].replace(".", "/")
            assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), line
    unused = [name for name in NAMED if not any(line.startswith(name) for line in DOCUMENTED)]
    assert unused == []
    assert all(test.__name__.startswith("test_") for test in ELSEWHERE.values())


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Done]]:
    """What came of every line, typed in the order of the pages."""
    reader = Reader(tmp_path_factory.mktemp("user"), "nano", "nano.yaml")
    (reader.folder / "training.yaml").write_text(
        test_import_config.TRAINING.replace(
            "${TT_METAL_RUNTIME_ROOT}/tt-train/configs/model_configs/nanollama3_char.yaml", "model.yaml"
        ),
        encoding="utf-8",
    )
    (reader.folder / "model.yaml").write_text(test_import_config.CHARACTERS, encoding="utf-8")
    steps = 200
    done = {}
    try:
        for line in TYPED:
            words = line.replace("RUN", "runs/nano-002").replace("CONFIG", "nano.yaml").replace("FILE", "nano.yaml")
            words = words.replace("NAME", "nano")
            if "max_steps=N" in words:
                steps += 100
                words = words.replace("max_steps=N", f"max_steps={steps}")
            done[line] = reader.type(words)
        yield done
    finally:
        if reader.training is not None:
            reader.press_control_c()


@pytest.mark.xdist_group("user")
@pytest.mark.parametrize("line", TYPED)
def test_a_documented_command_does_its_work(line: str, user: dict[str, Done]) -> None:
    code, output, complaints = user[line]
    assert "Traceback" not in complaints
    if "--self-test" in line:
        assert code in (0, 1)  # 1 where no board is
    elif line.split()[1] in ("train", "resume") and "max_steps" not in line:
        assert code == EXIT_STOPPED, complaints
    else:
        assert code == 0, complaints
    assert output.strip() or ">" in line.split() or " -o " in line


@pytest.mark.xdist_group("user")
def test_a_run_that_is_shortened_for_once_comes_to_its_end(user: dict[str, Done]) -> None:
    assert "Finished at step 200" in user["trickster train nano.yaml --set training_config.max_steps=200"].output
