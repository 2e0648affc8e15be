"""Answers to requests that look inside a model, from a worker that keeps it loaded between two clicks."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, TypeVar

from trickster_server.handlers.models import Models
from trickster_server.lsp.messages import inside as messages
from trickster_server.lsp.messages.fields import wire_name
from trickster_server.lsp.wire import from_wire

Result = TypeVar("Result")

_Params = (
    messages.InsideParams
    | messages.InsideWhatIfParams
    | messages.InsideEmbeddingParams
    | messages.InsideNeuronParams
    | messages.InsideHistoryParams
)


class Inside:
    """Looks inside models for one client."""

    def __init__(self, models: Models) -> None:
        self._models = models

    async def inside(self, params: messages.InsideParams) -> messages.InsideResult:
        """What a model computes for a text."""
        return await self._ask("inside", params, messages.InsideResult)

    async def what_if(self, params: messages.InsideWhatIfParams) -> messages.InsideWhatIfResult:
        """The same text with parts of the model changed."""
        return await self._ask("what_if", params, messages.InsideWhatIfResult)

    async def embedding(self, params: messages.InsideEmbeddingParams) -> messages.InsideEmbeddingResult:
        """The embeddings as a map."""
        return await self._ask("embedding", params, messages.InsideEmbeddingResult)

    async def neuron(self, params: messages.InsideNeuronParams) -> messages.InsideNeuronResult:
        """What excites a neuron."""
        return await self._ask("neuron", params, messages.InsideNeuronResult)

    async def history(self, params: messages.InsideHistoryParams) -> messages.InsideHistoryResult:
        """What the heads did at each checkpoint."""
        return await self._ask("history", params, messages.InsideHistoryResult)

    async def _ask(self, method: str, params: _Params, kind: type[Result]) -> Result:
        path = await self._models.model_path(params.run_id, getattr(params, "checkpoint", None))
        # In a process of its own: a click does not wait for a text that the playground has asked for.
        worker = await self._models.worker(params.python, "inside")
        return from_wire(kind, _on_the_wire(await worker.ask(method, {**asdict(params), "path": path})))


def _on_the_wire(value: Any) -> Any:
    """What the worker answers, with names as they are sent: those of fields, and the label of a head."""
    if isinstance(value, dict):
        return {
            wire_name(name): wire_name(entry) if name == "label" and entry else _on_the_wire(entry)
            for name, entry in value.items()
        }
    return [_on_the_wire(entry) for entry in value] if isinstance(value, list) else value
