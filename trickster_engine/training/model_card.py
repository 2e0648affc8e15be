"""The model card: `README.md` in a model's folder, as model hubs read it.

Its figures are those of the run; what a run does not know, the licence above all, is left for its owner to fill in.
"""

from __future__ import annotations

import math

from trickster_engine.config.plan import Plan
from trickster_engine.data.tokenizer import Tokenizer
from trickster_engine.runs import RunIdentity
from trickster_engine.runs.checkpoint_files import TrainerState

_LICENSE = (
    "# Yours to decide, by the licences of the text, of the weights that it started from and of the models that taught "
    "it: https://hf.co/docs/hub/repositories-licenses\nlicense: unknown"
)


def model_card(identity: RunIdentity, plan: Plan, state: TrainerState, tokenizer: Tokenizer) -> str:
    """The card of a run's last weights. Losses in nats/token."""
    parts = [_front_matter(plan), f"# {identity.id}", _about(identity, plan, state), _figures(identity, state)]
    return "\n\n".join([*parts, _use(plan), _limits(), _model(plan, tokenizer), _training(identity, plan)]) + "\n"


def _front_matter(plan: Plan) -> str:
    """What a hub reads by machine."""
    task = "fine-tuned" if plan.model.init_from else "trained from random weights"
    return "\n".join(
        [
            "---",
            *_LICENSE.split("\n"),
            "library_name: transformers",
            "pipeline_tag: text-generation",
            "tags:",
            *(f"  - {tag}" for tag in ("llama", "trickster", task.replace(" ", "-"))),
            "---",
        ]
    )


def _about(identity: RunIdentity, plan: Plan, state: TrainerState) -> str:
    begun = (
        f"fine-tuned from the weights in {_code(plan.model.init_from)}" if plan.model.init_from else
        "trained from random weights"
    )  # fmt: skip
    teachers = " and ".join(map(_code, plan.training.teachers))
    taught = f", taught by {teachers} beside the text (distillation)" if teachers else ""
    return (
        f"A Llama with {identity.parameters:,} parameters, {begun} on {_code(str(identity.data['name']))} for "
        f"{state.step:,} steps{taught}. It continues a text; it does not answer questions."
    )


def _figures(identity: RunIdentity, state: TrainerState) -> str:
    def bits(nats: float) -> str:
        found = identity.bits_per_byte(nats)
        return "\N{EN DASH}" if found is None else f"{found:.4f}"

    rows = ["## Figures", "", "| on the validation text | nats/token | bits/byte |", "|:--|--:|--:|"]
    rows += [f"| {name} | {nats:.4f} | {bits(nats)} |" for name, nats in identity.baselines.items()]
    if state.val_loss is not None:
        at = f" (step {state.last_eval_step:,})" if state.last_eval_step != state.step else ""
        perplexity = math.exp(min(state.val_loss, 700.0))  # beyond, it is no float
        loss = f"**{state.val_loss:.4f}** (perplexity {perplexity:.2f})"
        rows.append(f"| **this model**{at} | {loss} | **{bits(state.val_loss)}** |")
    rows += [
        "",
        "The validation text was never trained on. Bits per byte can be compared between tokenizers. The model reads "
        "windows that do not overlap, so that a window's first tokens have little context; `trickster compare` also "
        "measures it strided, with at least half a window for each. Uniform predictions and n-grams only count.",
    ]
    return "\n".join(rows)


def _use(plan: Plan) -> str:
    prompt = repr(plan.sampling.prompt)
    return "\n".join(
        [
            "## Use",
            "",
            "```python",
            "from transformers import pipeline",
            "",
            'writer = pipeline("text-generation", model="THIS FOLDER")',
            f'print(writer({prompt}, max_new_tokens={plan.sampling.max_new_tokens})[0]["generated_text"])',
            "```",
            "",
            f"Prompt and generated text must fit into {plan.model.max_seq_len:,} tokens. "
            "`trickster export` makes a GGUF file for llama.cpp, an ONNX model or a folder in bf16 of it.",
        ]
    )


def _limits() -> str:
    return (
        "## Limits\n\nIt writes in the manner of its training text, with that text's errors and prejudices, and may "
        "repeat parts of it word for word. What it says is not to be relied on."
    )


def _model(plan: Plan, tokenizer: Tokenizer) -> str:
    model = plan.model
    return (
        f"## Model\n\nhidden_dim {model.hidden_dim:,}, {model.num_layers} blocks, {model.num_heads} heads "
        f"({model.num_kv_heads} for keys and values), mlp_dim {model.mlp_dim:,}, {model.max_seq_len:,} positions, "
        f"rope_theta {model.rope_theta:g}, {'tied' if model.tie_embeddings else 'untied'} embeddings; tokenizer "
        f"{tokenizer.kind} with {tokenizer.vocab_size:,} tokens."
    )


def _training(identity: RunIdentity, plan: Plan) -> str:
    data, training = identity.data, plan.training
    sequences = training.batch_size * training.gradient_accumulation_steps
    rows = [
        ("text", f"{_code(str(data['name']))}, SHA-256 of its tokens {_code(str(data['fingerprint']))}"),
        ("training tokens", f"{data['train_tokens']:,}"),
        ("validation tokens", f"{data['val_tokens']:,}"),
        ("tokens per step", f"{sequences * plan.model.max_seq_len:,}"),
        ("optimizer", f"{training.optimizer}, peak learning rate {training.learning_rate:g}"),
        ("seed", str(training.seed)),
        ("device", f"{identity.device}, {identity.precision}"),
        ("software", ", ".join(f"{name} {version}" for name, version in identity.versions.items())),
    ]
    if files := identity.initial.get("files"):
        sums = "; ".join(f"{name} {sha256}" for name, sha256 in files.items() if name.endswith(".safetensors"))
        rows.append(("started from", f"{_code(str(identity.initial.get('written')))}, SHA-256 {sums}"))
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return f"## Training\n\n| | |\n|:--|:--|\n{table}\n\nThe run's config.yaml says the rest."


def _code(text: str) -> str:
    """A text of somebody else's between backticks, on one line and in one cell of a table."""
    return f"`{' '.join(text.split()).replace('`', chr(39)).replace('|', '/')}`"
