"""Requests about configs: presets, a new file from one, the figures of a file."""

from __future__ import annotations

import asyncio
import itertools
import os
from pathlib import Path

from trickster_engine.config.presets import preset_names, preset_plan, preset_text
from trickster_engine.config.shapes import count_parameters
from trickster_engine.data.amounts import epochs, tokens_per_step
from trickster_engine.estimates.compute import initial_loss
from trickster_engine.system.files import path_meant
from trickster_engine.system.os_errors import reason
from trickster_server.features.code_lenses import runs_of
from trickster_server.handlers.models import Models
from trickster_server.hints.corpus import training_tokens
from trickster_server.lsp.dispatch import RequestError
from trickster_server.lsp.messages import configs as messages
from trickster_server.lsp.messages.errors import ErrorCode
from trickster_server.paths import path_of, uri_of, without_dots
from trickster_server.services import Services


def describe_preset(text: str) -> str:
    """The comment that a preset begins with."""
    comment = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    return " ".join(line.lstrip("# ").strip() for line in comment)


class Configs:
    """Answers requests about configs."""

    def __init__(self, services: Services, models: Models) -> None:
        self._services = services
        self._models = models

    async def presets(self, _: messages.PresetsParams) -> messages.PresetsResult:
        """The configs that come with Trickster."""
        found = []
        for name in preset_names():
            plan, text = preset_plan(name), preset_text(name)
            expected = self._services.timing.training_time(plan)
            found.append(
                messages.PresetInfo(
                    name,
                    describe_preset(text),
                    count_parameters(plan.model).total,
                    text,
                    expected.seconds if expected else None,
                    expected.source if expected else None,
                )
            )
        return messages.PresetsResult(found)

    async def create_config(self, params: messages.CreateConfigParams) -> messages.CreateConfigResult:
        """Write a preset into a new file; a file that is there is never touched."""
        folder = path_of(params.folder_uri)
        if folder is None:
            raise RequestError(ErrorCode.ENGINE_FAILED, f"{params.folder_uri} is not a folder on this machine.")
        if params.preset not in preset_names():
            names = ", ".join(preset_names())
            raise RequestError(
                ErrorCode.ENGINE_FAILED, f"There is no preset {params.preset}. The presets are: {names}."
            )
        names_given = [params.file_name] if params.file_name is not None else _free_names(params.preset)
        text = preset_text(params.preset)
        path = await asyncio.to_thread(_write_new, folder, names_given, text)
        return messages.CreateConfigResult(uri_of(path))

    async def describe(self, params: messages.DescribeConfigParams) -> messages.DescribeConfigResult:
        """The figures of a file."""
        services = self._services
        document = await asyncio.to_thread(services.documents.read, params.config_uri)
        if document is None:
            raise RequestError(ErrorCode.CONFIG_HAS_ERRORS, f"Cannot read {params.config_uri}.")
        await asyncio.to_thread(document.locate)
        await services.registry.ready()
        runs = runs_of(document, services)
        await services.registry.check_plans(runs)  # whether its text was encoded is told by what its runs train
        document.starts_from(await asyncio.to_thread(document.weights_now))
        checked = document.checked
        errors = sum(problem.severity == "error" for problem in checked.problems)
        warnings = sum(problem.severity == "warning" for problem in checked.problems)
        plan = checked.plan
        if plan is None:
            return messages.DescribeConfigResult(False, max(1, errors), warnings, run_ids=[run.run_id for run in runs])
        corpus = await services.environment.corpus_now(document)
        text = training_tokens(plan, corpus)
        expected = services.timing.training_time(plan)
        folder = None
        if document.path is not None:
            folder = await asyncio.to_thread(without_dots, path_meant(document.path.parent, plan.output.output_dir))
        return messages.DescribeConfigResult(
            valid=True,
            errors=0,
            warnings=warnings,
            parameters=count_parameters(plan.model).total,
            max_steps=plan.training.max_steps,
            tokens_per_step=tokens_per_step(plan),
            epochs=epochs(plan, text) if text is not None else None,
            train_tokens=text,
            val_tokens=corpus.characters - text if text is not None and corpus and corpus.characters else None,
            corpus_present=corpus.present if corpus is not None else None,
            corpus=plan.data.corpus_name if plan.data.train_data is None else plan.data.train_data,
            prepared=self._models.is_prepared(document.file_key, plan) if document.file_key is not None else None,
            uniform_loss=initial_loss(plan.model),
            estimated_seconds=expected.seconds if expected else None,
            estimate_source=expected.source if expected else None,
            output_directory=str(folder) if folder is not None else None,
            run_ids=[run.run_id for run in runs],
        )


def _free_names(preset: str) -> list[str]:
    return [f"{preset}.trickster.yaml", *(f"{preset}-{number}.trickster.yaml" for number in range(2, 100))]


def _write_new(folder: Path, names: list[str], text: str) -> Path:
    for name in names:
        if Path(name).name != name:
            raise RequestError(ErrorCode.ENGINE_FAILED, f"{name} is not the name of a file.")
        path = folder / name
        try:
            with path.open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            continue
        except OSError as error:
            raise RequestError(ErrorCode.ENGINE_FAILED, f"Cannot write {path}: {reason(error)}.") from error
        return path
    raise RequestError(ErrorCode.FILE_EXISTS, f"{folder / names[0]} already exists.")
