"""Configs: presets, new files, figures."""

# ruff: noqa: RUF009 - item(), items() and entries() make dataclass fields; they only add the line of documentation.

from __future__ import annotations

from dataclasses import dataclass

from trickster_server.lsp.messages.fields import EstimateSource, item, items


@dataclass(frozen=True)
class PresetInfo:
    """One of the configs that come with Trickster."""

    name: str = item("Such as `pico`.")
    description: str = item("One line.")
    parameters: int = item("Weights in the model.")
    text: str = item("The YAML.")
    estimated_seconds: float | None = item("Expected training time on this machine.", None)
    estimate_source: EstimateSource | None = item("Where that figure comes from.", None)


@dataclass(frozen=True)
class PresetsParams:
    """Nothing is asked; the object is there for what may come."""


@dataclass(frozen=True)
class PresetsResult:
    """The presets, smallest first."""

    presets: list[PresetInfo] = item("The presets.")


@dataclass(frozen=True)
class CreateConfigParams:
    """Write a preset's YAML into a new file."""

    preset: str = item("Its name.")
    folder_uri: str = item("The folder to write into.")
    file_name: str | None = item("Omitted: `<preset>.trickster.yaml`, numbered if that exists.", None)


@dataclass(frozen=True)
class CreateConfigResult:
    """The new file."""

    uri: str = item("Its address.")


@dataclass(frozen=True)
class DescribeConfigParams:
    """The figures of a config, as the editor has it, saved or not."""

    config_uri: str = item("The config.")


@dataclass(frozen=True)
class DescribeConfigResult:
    """What can be said about a config without training it; null where an error in the file prevents it."""

    valid: bool = item("true: no error in the file.")
    errors: int = item("Problems that prevent training.")
    warnings: int = item("Problems that do not.")
    parameters: int | None = item("Weights in the model.", None)
    max_steps: int | None = item("Steps planned.", None)
    tokens_per_step: int | None = item("Tokens the optimizer sees in one step.", None)
    epochs: float | None = item("Epochs of the training text, where its size is known.", None)
    train_tokens: int | None = item("Tokens of training text, where known.", None)
    val_tokens: int | None = item("Tokens of validation text, where known.", None)
    corpus_present: bool | None = item("true: the text is on this machine.", None)
    corpus: str | None = item("The corpus, as written in the file.", None)
    prepared: bool | None = item("true: it is already tokenized; null: not known.", None)
    uniform_loss: float | None = item("Uniform-prediction loss, ln of the vocabulary's size, in nats/token.", None)
    estimated_seconds: float | None = item("Expected training time on this machine.", None)
    estimate_source: EstimateSource | None = item("Where that figure comes from.", None)
    output_directory: str | None = item("Where its runs are written.", None)
    run_ids: list[str] = items("The runs started from this file, newest first.")
