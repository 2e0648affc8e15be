"""What if: a model with parts switched off, or with activations of another text put in the place of its own.

Switching off sets what a part gives to zero (zero ablation). Patching is from Vig et al. 2020 (arXiv:2004.12265) and
Meng et al. 2022 (arXiv:2202.05262): an activation of one text is put into the reading of another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from trickster_engine.data.tokenizer import Tokenizer
from trickster_engine.errors import TricksterError
from trickster_engine.inference.activations import Activations, blocks_of, capture, hooked
from trickster_engine.inference.sampling import SamplingOptions, choose, require_numbers
from trickster_engine.model.llama import Block, KeyValueCache, Llama

Part = Literal["layer", "attention", "mlp", "head", "neuron"]


@dataclass(frozen=True)
class Component:
    """A part of the model: a layer, its attention, its MLP, or one head or neuron of it. Counted from 0."""

    part: Part
    layer: int
    index: int | None = None


@dataclass(frozen=True)
class Patch:
    """An activation of another text, put where this text's own is; of a layer, the residual stream after it."""

    component: Component
    source: Sequence[int]  # the other text's tokens
    position: int
    from_position: int


def require_component(model: Llama, component: Component) -> None:
    """Raise TricksterError where the model has no such part."""
    config = model.config
    counted = {"head": config.num_heads, "neuron": config.mlp_dim}
    require_index("layer", component.layer, config.num_layers)
    if component.part in counted:
        require_index(component.part, -1 if component.index is None else component.index, counted[component.part])
    elif component.index is not None:
        raise TricksterError(
            "part-unknown", f"A {component.part} has no index.", "Leave it out, or name a head or a neuron.", 2
        )


def require_index(what: str, index: int, count: int) -> None:
    """Raise TricksterError unless a layer, head, neuron or position is one of `count`."""
    if not 0 <= index < count:
        raise TricksterError(
            "part-unknown",
            f"There is no {what} {index}: they are 0 to {count - 1}.",
            "Layers, heads, neurons and positions are counted from 0.",
            2,
        )


@contextmanager
def changed(model: Llama, switched_off: Sequence[Component], patches: Sequence[Patch] = ()) -> Iterator[None]:
    """The model with parts switched off and activations patched; as it was, at the end. Raises TricksterError.

    With patches it is for reading a text from its first token on, and not for going on with it.
    """
    blocks = blocks_of(model)
    for component in (*switched_off, *(patch.component for patch in patches)):
        require_component(model, component)
    values = []
    for patch in patches:  # of the other text in the unchanged model, so before anything is hooked
        require_index("position", patch.from_position, len(patch.source))
        values.append(_taken(capture(model, patch.source), patch))
    handles = []
    for component in switched_off:
        handles += _silence(blocks[component.layer], component, model.config.head_dim)
    for patch, value in zip(patches, values, strict=True):
        handles += _replace(blocks[patch.component.layer], patch, value, model.config.head_dim)
    with hooked(handles):
        yield


def _silence(block: Block, component: Component, head_dim: int) -> list[Any]:
    """Hooks that set a part to zero."""

    def nothing(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        return torch.zeros_like(output)

    if component.index is None:
        halves: dict[str, tuple[nn.Module, ...]] = {"attention": (block.self_attn,), "mlp": (block.mlp,)}
        return [
            half.register_forward_hook(nothing) for half in halves.get(component.part, (block.self_attn, block.mlp))
        ]
    where = _columns(component, head_dim)

    def without(module: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        silenced = inputs[0].clone()
        silenced[..., where] = 0
        return silenced

    return [_reader(block, component).register_forward_pre_hook(without)]


def _replace(block: Block, patch: Patch, value: Tensor, head_dim: int) -> list[Any]:
    """Hooks that put a value where the text's own is."""
    component, position = patch.component, patch.position

    def put(into: Tensor, columns: slice) -> Tensor:
        require_index("position", position, into.shape[1])
        replaced = into.clone()
        replaced[:, position, columns] = value.to(into.dtype)
        return replaced

    if component.index is not None:
        where = _columns(component, head_dim)

        def before(module: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
            return put(inputs[0], where)

        return [_reader(block, component).register_forward_pre_hook(before)]

    def after(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        return put(output, slice(None))

    modules: dict[str, nn.Module] = {"layer": block, "attention": block.self_attn, "mlp": block.mlp}
    return [modules[component.part].register_forward_hook(after)]


def _reader(block: Block, component: Component) -> nn.Module:
    """The projection that reads a head or a neuron."""
    return block.self_attn.o_proj if component.part == "head" else block.mlp.down_proj


def _columns(component: Component, head_dim: int) -> slice:
    """Where in the input of that projection it is."""
    assert component.index is not None
    width = head_dim if component.part == "head" else 1
    return slice(component.index * width, (component.index + 1) * width)


def _taken(found: Activations, patch: Patch) -> Tensor:
    """The activation that a patch takes from the other text."""
    layer, index, at = patch.component.layer, patch.component.index, patch.from_position
    part = patch.component.part
    if part == "layer":
        return found.residual[layer + 1, at]
    if part == "attention":
        return found.attention_added[layer, at]
    if part == "mlp":
        return found.mlp_added[layer, at]
    assert index is not None
    return found.heads[layer, at, index] if part == "head" else found.neurons[layer, at, index, None]


@torch.no_grad()
def continued(
    model: Llama,
    tokenizer: Tokenizer,
    ids: Sequence[int],
    options: SamplingOptions,
    switched_off: Sequence[Component],
    patches: Sequence[Patch],
    should_stop: Callable[[], bool] = lambda: False,
) -> str:
    """What a changed model goes on with, up to the end of the document. Raises TricksterError.

    As `generate` does it, with the same window that slides; but every token goes through the model's own modules, where
    hooks act, and not through a compiled reader. What is patched is remembered in the keys and values of the text, and
    patched again where the window is read anew, as long as it is in there.
    """
    cache = KeyValueCache(model.config, 1, model.device, model.model.embed_tokens.weight.dtype)
    generator = torch.Generator().manual_seed(options.seed)
    limit = model.config.max_seq_len
    text = unread = torch.tensor([list(ids)])
    begin = 0  # of the window
    for _ in range(options.max_new_tokens):
        if should_stop():
            break
        if text.shape[1] - begin > limit:
            begin = text.shape[1] - limit // 2 - 1
            cache.length, unread = 0, text[:, begin:]
        inside = [replace(one, position=one.position - begin) for one in patches if one.position >= begin]
        with changed(model, switched_off, () if cache.length else inside):
            logits = model(unread.to(model.device), cache)[:, -1, : tokenizer.vocab_size].float().cpu()
        unread = choose(require_numbers(logits), text, options, generator)[:, None]
        if int(unread) == tokenizer.end_id:
            break
        text = torch.cat((text, unread), dim=1)
    return tokenizer.decode_after(ids, text[0, len(ids) :].tolist())
