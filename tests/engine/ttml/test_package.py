"""Which ttml this is, what is set before it is imported, and what is said when it cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engine.ttml.conftest import DOUBLE, forget_modules
from tests.engine.ttml.plans import plan
from tests.refusals import refused
from trickster_engine.backends.ttml import package
from trickster_engine.backends.ttml.backend import TtmlBackend
from trickster_engine.backends.ttml.package import checkout_of, import_failed, import_ttml, prepare_environment
from trickster_engine.errors import TricksterError


def test_no_ttml_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_modules()
    monkeypatch.setattr(package, "find_ttml", lambda: None)
    with pytest.raises(TricksterError) as refused:
        TtmlBackend(plan())
    assert refused.value.code == "ttml-missing"


def test_the_package_of_the_same_name(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_modules()
    monkeypatch.syspath_prepend(DOUBLE / "packages")  # for ttnn
    monkeypatch.syspath_prepend(DOUBLE / "unrelated")
    with pytest.raises(TricksterError) as refused:
        import_ttml()
    forget_modules()
    assert refused.value.code == "ttml-unrelated"
    assert "pip uninstall ttml" in refused.value.advice


@pytest.mark.parametrize(
    ("variant", "code"),
    [
        ({"auto_context": False}, "ttml-unrelated"),
        ({"enums_in_ttnn": False}, "ttml-too-old"),
    ],
)
def test_builds_that_cannot_be_used(double: Callable[..., Any], variant: dict[str, Any], code: str) -> None:
    double(**variant)
    with pytest.raises(TricksterError) as refused:
        TtmlBackend(plan())
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("std::bad_cast", "ttml-bad-cast"),
        ("TT_METAL_HOME environment variable is not set", "metal-home-missing"),
        ("libtt_metal.so: cannot open shared object file", "ttml-import-failed"),
    ],
)
def test_imports_that_fail(double: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, error: str, code: str) -> None:
    double()
    forget_modules()
    monkeypatch.setenv("TTML_DOUBLE", f'{{"import_error": "{error}"}}')
    with pytest.raises(TricksterError) as refused:
        import_ttml()
    assert refused.value.code == code
    assert refused.value.advice


def test_ttnn_is_missing() -> None:
    assert import_failed(ModuleNotFoundError("No module named 'ttnn'", name="ttnn")).code == "ttnn-missing"


def test_a_llama_that_cannot_do_what_the_config_asks(double: Callable[..., Any]) -> None:
    double(config_fields_missing=("rope_theta", "weight_tying"))
    with refused("ttml-incomplete", "rope_theta, weight_tying"):
        TtmlBackend(plan())
    TtmlBackend(plan({"rope_theta": 10000.0, "tie_embeddings": False}), report=lambda _: None).close()


LOGS = {"TT_LOGGER_LEVEL": "FATAL", "LOGURU_LEVEL": "WARNING"}


def tree(root: Path, package: str) -> Path:
    """A tt-metal tree, as far as anybody looks at it, with a package in it."""
    folder = root / package
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    for part in ("tt_metal/core_descriptors", "tt-train", "ttnn"):
        (root / part).mkdir(parents=True, exist_ok=True)
    return folder.parent


@pytest.mark.parametrize("package", ["tt-train/sources/ttml/ttml", "ttnn/ttnn"])
def test_the_environment_is_set_where_the_package_lies_in_a_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    forget_modules()
    monkeypatch.syspath_prepend(tree(tmp_path, package))
    environment = {"TT_LOGGER_LEVEL": "Debug"}
    changed = prepare_environment(environment)
    home = str(tmp_path.resolve())
    assert changed == {"TT_METAL_HOME": home, "TT_METAL_RUNTIME_ROOT": home, "LOGURU_LEVEL": "WARNING"}
    assert environment["TT_LOGGER_LEVEL"] == "Debug"
    assert prepare_environment(environment) == {}


def test_the_environment_is_left_alone_where_it_does_not(double: Callable[..., Any], tmp_path: Path) -> None:
    """ttnn from a wheel has its own files, and aborts where it is sent to somebody's checkout."""
    double()
    (tmp_path / "tt-metal/tt_metal").mkdir(parents=True)  # HOME is here
    environment: dict[str, str] = {}
    assert prepare_environment(environment) == LOGS == environment
    mine = {"TT_METAL_HOME": str(tmp_path / "tt-metal")}
    assert prepare_environment(mine) == LOGS
    assert "TT_METAL_RUNTIME_ROOT" not in mine


def test_a_root_without_ttnns_files_is_refused_before_it_aborts(
    double: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    double()
    monkeypatch.setenv("TT_METAL_RUNTIME_ROOT", str(tmp_path))
    with pytest.raises(TricksterError) as refused:
        import_ttml()
    assert refused.value.code == "metal-root-wrong"
    (tmp_path / "tt_metal/core_descriptors").mkdir(parents=True)
    import_ttml()


def test_a_checkouts_commit_is_read(tmp_path: Path) -> None:
    git = tmp_path / ".git"
    (git / "refs/heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "refs/heads/main").write_text("0123456789abcdef0123456789abcdef01234567\n")
    assert checkout_of(str(tmp_path)) == "commit 0123456789"
    assert checkout_of(str(tmp_path / "elsewhere")) is None
    assert checkout_of(None) is None


def test_nothing_is_imported_before_a_board_is_asked_for() -> None:
    code = (
        "import sys, trickster_engine.backends.ttml.backend, trickster_engine.backends.select, trickster_engine.doctor"
        "\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('ttml', 'ttnn')])"
    )
    environment = {**os.environ, "PYTHONPATH": str(DOUBLE / "packages")}
    answer = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment, cwd=DOUBLE.parents[1]
    )
    assert answer.stdout.strip() == "[]"


def test_nobody_is_told_to_install_ttml_from_a_registry() -> None:
    engine = Path(package.__file__).parents[1]
    for path in [*engine.rglob("*.py"), *(DOUBLE.parents[1] / "docs").glob("*.md")]:
        assert "pip install ttml" not in path.read_text(encoding="utf-8"), path
