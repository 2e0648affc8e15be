"""Using a model: writing with it, measuring it, looking at it and at what it is trained on."""

# ruff: noqa: RUF009 - item(), items() and entries() make dataclass fields; they only add the line of documentation.

from __future__ import annotations

from dataclasses import dataclass

from trickster_server.lsp.messages.fields import JsonValue, ProgressToken, item, items


@dataclass(frozen=True)
class SamplingOptions:
    """How the next token is drawn; a field left out takes the run's own value."""

    max_new_tokens: int | None = item("How many tokens to generate.", None)
    temperature: float | None = item("0 is greedy; 1 samples the model's own probabilities.", None)
    top_k: int | None = item("Sample only from the k likeliest tokens; 0 = off.", None)
    top_p: float | None = item(
        "Sample only from the likeliest tokens that together have this probability; 1 = off.", None
    )
    repetition_penalty: float | None = item("Makes tokens already used less likely; 1 = off.", None)
    seed: int | None = item("The same seed gives the same text.", None)


@dataclass(frozen=True)
class TokenProbability:
    """One bar of the playground."""

    id: int = item("The token's number in the vocabulary.")
    text: str = item("Its text.")
    probability: float = item("Between 0 and 1.")


@dataclass(frozen=True)
class GenerateParams:
    """Write text with a model. Cancel with the protocol's own `$/cancelRequest`."""

    run_id: str | None = item("The run whose newest checkpoint is used.", None)
    checkpoint: str | None = item("Or a checkpoint's folder.", None)
    prompt: str | None = item("The text to continue; omitted: the run's own prompt.", None)
    sampling: SamplingOptions | None = item("Sampling settings.", None)
    probabilities: int = item("Report this many of the likeliest tokens for each sampled one; 0 = none.", 0)
    python: str | None = item("The interpreter that runs the model.", None)
    partial_result_token: ProgressToken | None = item("The text is streamed to this token as `GeneratePart`.", None)
    work_done_token: ProgressToken | None = item("Progress is reported to this token.", None)


@dataclass(frozen=True)
class GeneratedToken:
    """One drawn token, when probabilities were asked for."""

    id: int = item("The token's number in the vocabulary.")
    text: str = item("Its text.")
    probability: float = item("Its probability, before temperature, top-k and top-p.")
    alternatives: list[TokenProbability] = item("The most likely ones, highest first.")


@dataclass(frozen=True)
class GeneratePart:
    """The value of a `$/progress` of `partialResultToken`: the text that has come since the last one."""

    text: str = item("To be appended to the text so far.")
    tokens: list[GeneratedToken] = items("The tokens of this part, if probabilities were requested.")


@dataclass(frozen=True)
class GenerateResult:
    """The finished text. After parts have been sent, `text` is still the whole of it."""

    text: str = item("The generated text, without the prompt.")
    prompt: str = item("The prompt used.")
    checkpoint: str = item("The checkpoint used.")
    step: int | None = item("The step it was saved after.")
    tokens: int = item("Tokens written.")
    seconds: float = item("Time it took, without loading the model.")
    finish_reason: str = item(
        "length: all the tokens asked for; document: the model ended its text; cancelled.", "length"
    )


@dataclass(frozen=True)
class NextTokensParams:
    """What the model believes comes next: the bars of the playground."""

    text: str = item("The text so far.")
    run_id: str | None = item("The run whose newest checkpoint is used.", None)
    checkpoint: str | None = item("Or a checkpoint's folder.", None)
    count: int = item("How many bars.", 10)
    sampling: SamplingOptions | None = item("Show the probabilities after temperature, top-k and top-p.", None)
    python: str | None = item("The interpreter that runs the model.", None)


@dataclass(frozen=True)
class NextTokensResult:
    """The most likely tokens, highest first."""

    tokens: list[TokenProbability] = item("The bars.")
    checkpoint: str = item("The checkpoint used.")
    entropy: float = item("Entropy of the next token, in nats; ln of the vocabulary's size is a uniform prediction.")


@dataclass(frozen=True)
class CompleteParams:
    """What a model would go on with at the cursor. Cancel with the protocol's own `$/cancelRequest`."""

    before: str = item("The text before the cursor; the last few thousand characters are enough.")
    run_id: str | None = item("The run whose newest checkpoint is used.", None)
    checkpoint: str | None = item("Or a checkpoint's folder.", None)
    one_line: bool = item("End with the line.", True)
    from_beginning: bool = item("Whether `before` is all text from the file's beginning.", True)
    confidence: float | None = item("Offer what is right with at least this probability; left out: 0.2.", None)
    max_tokens: int | None = item("Offer at most so many tokens; left out: 32.", None)
    python: str | None = item("The interpreter that runs the model.", None)


@dataclass(frozen=True)
class CompleteResult:
    """The text offered: as far as the model believes that all of it is right; empty where it cannot tell."""

    text: str = item("To be inserted at the cursor.")
    checkpoint: str = item("The checkpoint used.")
    step: int | None = item("The step it was saved after.")
    seconds: float = item("Time the model took.")


@dataclass(frozen=True)
class CompareParams:
    """The proof of learning: the trained model beside one with random weights, and the table of losses."""

    run_id: str = item("The run.")
    python: str | None = item("The interpreter that runs the models.", None)
    work_done_token: ProgressToken | None = item("Progress is reported to this token.", None)


@dataclass(frozen=True)
class CompareResult:
    """What `trickster compare` prints."""

    report: str = item("The same, as text to show.")
    data: JsonValue = item("What `trickster compare --json` prints.")


@dataclass(frozen=True)
class ReportParams:
    """What a run has learned and what not: the page that `trickster report` writes into its directory."""

    run_id: str = item("A run that has saved a checkpoint.")
    python: str | None = item("The interpreter that runs the model.", None)
    work_done_token: ProgressToken | None = item("Progress is reported to this token.", None)


@dataclass(frozen=True)
class ReportResult:
    """Where the page is. It is made again only where the run has gone on since."""

    path: str = item("The page: one HTML file that loads and runs nothing.")
    data: JsonValue = item("What `trickster report --json` prints; null if the page already existed.", None)


@dataclass(frozen=True)
class InspectParams:
    """The model of a config, before it is trained: parameters by part, shapes, a sample of noise."""

    config_uri: str = item("The config.")
    python: str | None = item("The interpreter that builds the model.", None)
    work_done_token: ProgressToken | None = item("Progress is reported to this token.", None)


@dataclass(frozen=True)
class InspectResult:
    """What `trickster inspect` prints."""

    report: str = item("The same, as text to show.")
    data: JsonValue = item("What `trickster inspect --json` prints.")
    page: str = item("The same with the picture of the architecture, as an HTML page that loads and runs nothing.")


@dataclass(frozen=True)
class PrepareParams:
    """Fetch and encode the corpus of a config."""

    config_uri: str = item("The config.")
    python: str | None = item("The interpreter that prepares.", None)
    work_done_token: ProgressToken | None = item("Progress is reported to this token.", None)


@dataclass(frozen=True)
class PrepareResult:
    """What `trickster prepare` prints."""

    report: str = item("The same, as text to show.")
    data: JsonValue = item("What `trickster prepare --json` prints.")


@dataclass(frozen=True)
class DoctorParams:
    """Which devices and packages the training interpreter has."""

    python: str | None = item("The interpreter to check.", None)
    work_done_token: ProgressToken | None = item("Progress is reported to this token.", None)


@dataclass(frozen=True)
class DoctorResult:
    """What `trickster doctor` prints."""

    python: str = item("The interpreter checked.")
    report: str = item("The findings, as text to show.")
    data: JsonValue = item("What `trickster doctor --json` prints.")
