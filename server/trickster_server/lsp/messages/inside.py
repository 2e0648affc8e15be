"""Looking inside a model: what each part of it computes for a text, and what becomes of the text without that part.

Layers, heads, neurons and positions are counted from 0. `docs/inside.md` says what each number means.
"""

# ruff: noqa: RUF009 - item(), items() and entries() make dataclass fields; they only add the line of documentation.

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trickster_server.lsp.messages.fields import entries, item, items


@dataclass(frozen=True)
class InsideArray:
    """Many numbers, in the order of the last axis first (row-major), little-endian."""

    shape: list[int] = item("How many along each axis.")
    type: Literal["uint8", "int32", "float32"] = item("What each number is stored as.")
    data: str = item("Their bytes in base64.")


@dataclass(frozen=True)
class InsideComponentOptions:
    """A part of the model."""

    part: Literal["layer", "attention", "mlp", "head", "neuron"] = item(
        "layer: all that the layer adds; attention and mlp: what that half adds; head: one head's output; neuron: one "
        "of the MLP's activations."
    )
    layer: int = item("The layer.")
    index: int | None = item("Which head or neuron of it; null for the other parts.", None)


@dataclass(frozen=True)
class InsidePatchOptions:
    """An activation of another text, put in the place of this text's own."""

    component: InsideComponentOptions = item("What is replaced; of a layer, the residual stream after it.")
    from_text: str = item("The text that it is taken from.")
    position: int = item("The token of this text where it is put.")
    from_position: int | None = item("The token of the other text; omitted: the same number.", None)


InsidePicture = Literal["attention", "heads", "lens", "stream", "neurons"]


@dataclass(frozen=True)
class InsideParams:
    """What a model computes for a text. With parts switched off or patched, what it computes then."""

    run_id: str | None = item("The run whose newest checkpoint is looked into.", None)
    checkpoint: str | None = item("Or a checkpoint's folder.", None)
    before_training: bool = item("Instead, the model as it was before the run's first step.", False)
    text: str | None = item("The text; omitted: the beginning of the run's validation text, or its prompt.", None)
    want: list[InsidePicture] | None = item("What is sent; omitted: everything. `tokens` and `next` always are.", None)
    layers: list[int] | None = item("Send the attention of these layers only; omitted: of all.", None)
    top: int = item("Tokens at each place of the logit lens, and neurons at each place; at most 20.", 5)
    switched_off: list[InsideComponentOptions] = items("Parts that add nothing.")
    patches: list[InsidePatchOptions] = items("Activations that are replaced.")
    python: str | None = item("The interpreter that runs the model.", None)


@dataclass(frozen=True)
class InsideModel:
    """What the model is made of."""

    layers: int = item("Layers.")
    heads: int = item("Attention heads in each layer.")
    kv_heads: int = item("Key/value heads in each layer: `heads / kvHeads` heads share one.")
    head_dim: int = item("Width of a head.")
    hidden_dim: int = item("Width of the residual stream.")
    mlp_dim: int = item("Neurons in each layer's MLP.")
    vocab_size: int = item("Tokens of the tokenizer.")
    max_seq_len: int = item("Tokens that the model sees at most.")
    tie_embeddings: bool = item("Whether the output reads the embedding's weights.")
    rope_theta: float = item("The base of RoPE's frequencies.")
    rope_frequencies: list[float] = item("Radians a token by which each of a head's `headDim / 2` pairs is turned.")


@dataclass(frozen=True)
class InsideToken:
    """One token of the text, and what the model expected in its place."""

    id: int = item("The token's number in the vocabulary.")
    text: str = item("Its text.")
    loss: float | None = item("-ln of its probability, in nats; null for the first, which nothing predicts.")
    rank: int | None = item("How many tokens were likelier; 0 for the likeliest.")


@dataclass(frozen=True)
class InsideHead:
    """What one head does, measured: mean attention to a kind of token, 0 to 1; null where the text has none such."""

    layer: int = item("The layer.")
    head: int = item("The head.")
    label: Literal["current", "previous", "first", "same", "lineStart", "induction"] | None = item(
        "The behaviour it shows most clearly; null for none."
    )
    current: float | None = item("Attention to the token itself.")
    previous: float | None = item("To the token before it.")
    first: float | None = item("To the text's first token.")
    same: float | None = item("To earlier tokens that are the same.")
    line_start: float | None = item("To the last line break and the token after it.")
    induction: float | None = item(
        "On random tokens, repeated: from the second time to the token after the first time (Olsson et al. 2022)."
    )
    entropy: float = item("Mean entropy of its attention, in nats; 0 looks at one token.")


@dataclass(frozen=True)
class InsideLens:
    """The logit lens: what the model would say next if it ended after each layer (nostalgebraist 2020).

    The first axis has `layers + 1` places: 0 is the embedding, i is after layer i - 1; the last is the model's own.
    """

    ids: InsideArray = item("int32 [layers + 1, T, top]: the likeliest tokens, highest first.")
    probabilities: InsideArray = item("float32, the same shape.")
    next_probability: InsideArray = item("float32 [layers + 1, T]: of the token that does follow; NaN after the last.")
    next_rank: InsideArray = item("int32 [layers + 1, T]: how many were likelier than it; -1 after the last.")
    texts: dict[str, str] = entries("The text of each id in `ids`.")


@dataclass(frozen=True)
class InsideStream:
    """Lengths (Euclidean norms) of the residual stream, and of what is added to it."""

    residual: InsideArray = item("float32 [layers + 1, T]: the stream after the embedding and after each layer.")
    attention: InsideArray = item("float32 [layers, T]: what the layer's attention adds.")
    mlp: InsideArray = item("float32 [layers, T]: what the layer's MLP adds.")


@dataclass(frozen=True)
class InsideNeurons:
    """The MLPs' most active neurons at each place, by the size of the activation, largest first."""

    ids: InsideArray = item("int32 [layers, T, top].")
    activations: InsideArray = item("float32, the same shape; silu(gate) * up, with its sign.")


@dataclass(frozen=True)
class InsideNext:
    """One token that may follow the text."""

    id: int = item("The token's number in the vocabulary.")
    text: str = item("Its text.")
    logit: float = item("Its logit.")


@dataclass(frozen=True)
class InsideResult:
    """What was asked for of a text; null for what was not."""

    checkpoint: str | None = item("The checkpoint's folder; null before training.")
    step: int | None = item("The step it was saved after; 0 before training.")
    model: InsideModel = item("What the model is made of.")
    text: str = item("The text that is looked at.")
    left_out: int = item("Tokens at the text's end that are not looked at, because it is longer than what fits.")
    tokens: list[InsideToken] = item("The tokens, T of them.")
    loss: float | None = item("Their mean loss, in nats/token; null for a single token.")
    next: list[InsideNext] = item("The 50 likeliest tokens after the text.")
    logits: InsideArray = item("float32 [vocabulary]: all the logits after the text; temperature divides them.")
    attention_layers: list[int] = item("Which layers `attention` holds.")
    attention: InsideArray | None = item("uint8 [its layers, heads, T, T]: 255 times the weight; row looks at column.")
    heads: list[InsideHead] | None = item("What each head does.")
    lens: InsideLens | None = item("What each layer would say next.")
    stream: InsideStream | None = item("The residual stream.")
    neurons: InsideNeurons | None = item("The most active neurons.")
    seconds: float = item("Time it took, without loading the model.")


@dataclass(frozen=True)
class InsideWhatIfParams:
    """A text before and after parts of the model are switched off or patched."""

    text: str = item("The text.")
    run_id: str | None = item("The run whose newest checkpoint is used.", None)
    checkpoint: str | None = item("Or a checkpoint's folder.", None)
    before_training: bool = item("Instead, the model as it was before the run's first step.", False)
    switched_off: list[InsideComponentOptions] = items("Parts that add nothing.")
    patches: list[InsidePatchOptions] = items("Activations that are replaced.")
    max_new_tokens: int = item("Go on with the text by so many tokens, at most 200; 0 = not.", 40)
    temperature: float = item("0 is greedy.", 0.0)
    seed: int = item("The same seed gives the same text.", 1337)
    python: str | None = item("The interpreter that runs the model.", None)


@dataclass(frozen=True)
class InsideOutcome:
    """What the model says of a text."""

    tokens: list[InsideToken] = item("The tokens with their losses.")
    loss: float | None = item("Their mean loss, in nats/token.")
    next: list[InsideNext] = item("The 50 likeliest tokens after the text.")
    continuation: str = item("What it goes on with.")


@dataclass(frozen=True)
class InsideWhatIfResult:
    """The same text, read by the model as it is and as it is changed."""

    checkpoint: str | None = item("The checkpoint's folder; null before training.")
    step: int | None = item("The step it was saved after; 0 before training.")
    left_out: int = item("Tokens at the text's end that are not looked at.")
    before: InsideOutcome = item("By the model as it is.")
    after: InsideOutcome = item("With the parts switched off, and the activations patched.")
    seconds: float = item("Time it took, without loading the model.")


@dataclass(frozen=True)
class InsideEmbeddingParams:
    """The embeddings as a map."""

    run_id: str | None = item("The run whose newest checkpoint is used.", None)
    checkpoint: str | None = item("Or a checkpoint's folder.", None)
    before_training: bool = item("Instead, the model as it was before the run's first step.", False)
    projection: Literal["pca", "umap"] = item("pca: principal components; umap: needs umap-learn.", "pca")
    python: str | None = item("The interpreter that runs the model.", None)


@dataclass(frozen=True)
class InsidePoint:
    """A token on the map."""

    id: int = item("The token's number in the vocabulary.")
    text: str = item("Its text.")
    kind: Literal["capital", "lower case", "digit", "space", "punctuation", "other"] = item("What its text is.")
    x: float = item("Its place.")
    y: float = item("Its place.")


@dataclass(frozen=True)
class InsideEmbeddingResult:
    """The tokens' places."""

    checkpoint: str | None = item("The checkpoint's folder; null before training.")
    step: int | None = item("The step it was saved after; 0 before training.")
    projection: Literal["pca", "umap"] = item("How the map was drawn.")
    points: list[InsidePoint] = item("At most 2000 tokens: those of the validation text, or all printable ones.")
    left_out: int = item("Tokens that are not on it.")
    explained: list[float] | None = item("Share of the variance along x and y; null for UMAP.")
    umap_installed: bool = item("Whether UMAP can be asked for.")


@dataclass(frozen=True)
class InsideNeuronParams:
    """What excites one neuron of an MLP."""

    layer: int = item("The layer.")
    neuron: int = item("The neuron.")
    run_id: str | None = item("The run whose newest checkpoint is used.", None)
    checkpoint: str | None = item("Or a checkpoint's folder.", None)
    text: str | None = item("Search this text; omitted: a sample of the run's validation text.", None)
    count: int = item("How many contexts, at most 50.", 10)
    python: str | None = item("The interpreter that runs the model.", None)


@dataclass(frozen=True)
class InsideContext:
    """A place in the text, and the neuron's activation there."""

    before: str = item("The text before the token.")
    token: str = item("The token at which the activation was measured.")
    after: str = item("The text after it.")
    activation: float = item("silu(gate) * up.")


@dataclass(frozen=True)
class InsideNeuronResult:
    """The contexts in which the neuron is most active, and the tokens that it makes likelier."""

    checkpoint: str | None = item("The checkpoint's folder.")
    step: int | None = item("The step it was saved after.")
    highest: list[InsideContext] = item("The largest activations, largest first.")
    lowest: list[InsideContext] = item("The most negative ones, lowest first.")
    tokens: int = item("Tokens that were searched.")
    mean: float = item("Mean activation over them.")
    deviation: float = item("Standard deviation over them.")
    promotes: list[InsideNext] = item("Tokens whose logits a unit of activation raises most, by its direct path.")
    suppresses: list[InsideNext] = item("Tokens whose logits it lowers most.")


@dataclass(frozen=True)
class InsideHistoryParams:
    """What the heads did at each checkpoint of a run."""

    run_id: str = item("The run.")
    text: str | None = item("The text; omitted: the beginning of the run's validation text, or its prompt.", None)
    layer: int | None = item("Send the attention of one head: its layer.", None)
    head: int | None = item("And its number there.", None)
    python: str | None = item("The interpreter that runs the model.", None)


@dataclass(frozen=True)
class InsideMoment:
    """One checkpoint."""

    step: int = item("The step; 0 is the model before training.")
    checkpoint: str | None = item("Its folder; null before training.")
    loss: float | None = item("Mean loss on the text, in nats/token.")
    repeat_first: float | None = item("Mean loss on random tokens, seen the first time; null if the context is tiny.")
    repeat_second: float | None = item("And the second time: an induction head makes it smaller.")
    heads: list[InsideHead] = item("What each head does.")
    attention: InsideArray | None = item("uint8 [T, T]: of the head that was asked for, 255 times the weight.")


@dataclass(frozen=True)
class InsideHistoryResult:
    """The run's checkpoints that are kept, oldest first; at most 64, evenly chosen."""

    text: str = item("The text that is looked at.")
    left_out: int = item("Tokens at its end that are not looked at.")
    tokens: list[str] = item("The text of each token.")
    moments: list[InsideMoment] = item("The model before training, and each checkpoint.")
    unreadable: list[str] = items("Checkpoints that could not be read.")
