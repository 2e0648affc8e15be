"""Inlay hints: figures that follow from several keys, behind the one that people change."""

from __future__ import annotations

from lsprotocol import types

from trickster_engine.data.amounts import epochs, tokens_per_step
from trickster_engine.system.units import short_count_text, times_text
from trickster_server.documents import Document
from trickster_server.hints.corpus import Corpus, training_tokens
from trickster_server.services import Services


def hints(document: Document, corpus: Corpus | None) -> list[tuple[str, str, str]]:
    """(key, label, tooltip) of every hint; none where what they follow from is not known."""
    settings, plan = document.settings, document.nearest_plan
    model, training = plan.model, plan.training
    found: list[tuple[str, str, str]] = []
    if (
        settings.knows("model_config.hidden_dim", "model_config.num_heads")
        and model.num_heads > 0
        and model.hidden_dim % model.num_heads == 0
    ):
        found.append(
            (
                "model_config.num_heads",
                f"head_dim {model.head_dim}",
                f"head_dim is {model.hidden_dim} / {model.num_heads} = {model.head_dim}.",
            )
        )
    sizes = ("training_config.batch_size", "training_config.gradient_accumulation_steps", "model_config.max_seq_len")
    if settings.knows(*sizes):
        tokens = tokens_per_step(plan)
        found.append(
            (
                sizes[0],
                f"{short_count_text(tokens)} tokens per step",
                f"{training.batch_size} sequences x {training.gradient_accumulation_steps} batches x "
                f"{model.max_seq_len} tokens = {tokens:,} tokens per update of the weights.",
            )
        )
        text = training_tokens(plan, corpus)
        if settings.knows("training_config.max_steps") and text is not None:
            times = times_text(epochs(plan, text))
            found.append(
                (
                    "training_config.max_steps",
                    f"{times} epochs",
                    f"{training.max_steps:,} steps x {tokens:,} tokens, about {text:,} tokens of training text: "
                    f"{times} epochs.",
                )
            )
    return found


def inlay_hints(document: Document, services: Services, params: types.InlayHintParams) -> list[types.InlayHint]:
    """The hints of the lines that the client shows."""
    shown = document.columns.range_from_client(params.range)
    answer = []
    for key, label, tooltip in hints(document, services.environment.corpus(document)):
        given = document.settings.given.get(key)
        if given is None or not shown.start.line <= given.where.end.line <= shown.end.line:
            continue
        position = document.columns.to_client(given.where.end)
        answer.append(types.InlayHint(position=position, label=label, tooltip=tooltip, padding_left=True))
    return answer
