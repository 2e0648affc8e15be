"""The keys of `model_config`: the shape of the transformer."""

from __future__ import annotations

from dataclasses import dataclass

from trickster_engine.config.keys.spec import key


@dataclass(frozen=True)
class ModelConfig:
    """`model_config`: the shape of the transformer.

    A Llama-style decoder: token embedding, a stack of blocks (attention and a SwiGLU feed-forward, each behind an
    RMSNorm), a final norm and an output layer. These numbers alone fix how many parameters there are; `init_from` names
    the weights to start from.
    """

    vocab_size: int = key(
        256,
        doc="Vocabulary size: how many different tokens the model knows, the number of rows of the embedding.",
        effect="Each additional token costs hidden_dim parameters (twice that if the embeddings are not tied) and "
        "widens the output layer. An untrained model starts near the uniform-prediction loss, ln(vocab_size): 5.545 "
        "for 256.",
        unit="tokens",
        minimum=2,
        maximum=1_000_000,
        examples=(256, 1024, 4096),
        other_names=("vocabulary_size",),
    )
    hidden_dim: int = key(
        256,
        doc="Hidden size, the width of the model: how many numbers represent a token in the blocks.",
        effect="A wider model learns more and costs more: parameters and compute grow about with the square. It must "
        "be divisible by num_heads.",
        unit="numbers per token",
        minimum=2,
        maximum=65_536,
        examples=(128, 256, 384, 512, 768),
        other_names=("d_model", "dim", "embedding_dim", "hidden_size", "n_embd"),
    )
    num_layers: int = key(
        6,
        doc="Depth: the number of transformer blocks, one after the other.",
        effect="Parameters, memory and time grow in proportion. Deeper models can combine more steps, and are harder "
        "to train without warm-up.",
        unit="blocks",
        minimum=1,
        maximum=1_024,
        examples=(4, 6, 8, 12),
        other_names=("depth", "n_layer", "n_layers", "num_blocks", "num_hidden_layers"),
    )
    num_heads: int = key(
        8,
        doc="Attention heads in each block. Each head attends to the text in its own way, in its own slice of "
        "head_dim = hidden_dim / num_heads numbers.",
        effect="More heads attend to more things at once, each with a smaller head_dim; the number of parameters "
        "stays the same. A head_dim of 32 to 128 works well.",
        unit="heads",
        minimum=1,
        maximum=1_024,
        examples=(4, 6, 8, 12),
        other_names=("n_head", "n_heads", "num_attention_heads"),
    )
    num_kv_heads: int = key(
        8,
        doc="Heads for the keys and values (grouped-query attention). Several query heads share one of these.",
        effect="Fewer than num_heads saves parameters and, above all, memory of the key-value cache during "
        "generation; quality drops slightly.",
        unit="heads",
        minimum=1,
        maximum=1_024,
        examples=(1, 2, 4, 8),
        default_note="the same as num_heads",
        other_names=("n_kv_heads", "num_groups", "num_key_value_heads"),
    )
    mlp_dim: int = key(
        768,
        doc="The inner width of the feed-forward part (SwiGLU) of each block.",
        effect="Most parameters are here: 3 x hidden_dim x mlp_dim in every block. 2.7 to 4 times hidden_dim is "
        "usual; the lesson uses 3 times.",
        unit="numbers per token",
        minimum=1,
        maximum=262_144,
        examples=(384, 768, 1152, 1536),
        other_names=("d_ff", "ffn_dim", "intermediate_dim", "intermediate_size"),
    )
    max_seq_len: int = key(
        512,
        doc="Context length: how many tokens the model sees at once, and the length of a training sequence.",
        effect="A longer context lets the model use earlier text; memory for activations grows in proportion, and "
        "attention's time with the square.",
        unit="tokens",
        minimum=2,
        maximum=1_048_576,
        examples=(128, 256, 512, 1024),
        other_names=(
            "block_size",
            "context_length",
            "max_position_embeddings",
            "max_sequence_length",
            "seq_len",
            "sequence_length",
        ),
    )
    dropout: float = key(
        0.1,
        doc="Fraction of activations dropped (set to zero at random during training) in what each block adds to its "
        "input.",
        effect="More dropout reduces overfitting on a small text and slows learning. Use 0 for a few epochs, 0.1 to "
        "0.2 for many.",
        minimum=0,
        below=1,
        examples=(0.0, 0.1, 0.2),
        other_names=("dropout_prob",),
    )
    rope_theta: float = key(
        10000.0,
        doc="Base of the rotary position embedding (RoPE): it sets how slowly the slowest angle turns with distance.",
        effect="Larger values suit longer contexts (500000 is used for many thousands of tokens). For up to 2048 "
        "tokens 10000 is good.",
        minimum=1,
        limit_reason="Below 1 the angles would overflow 32-bit numbers.",
        maximum=1e12,
        examples=(10000.0, 500000.0),
        other_names=("theta",),
    )
    norm_eps: float = key(
        1e-5,
        doc="A small number added inside RMSNorm's square root so that it never divides by zero.",
        effect="Keep it unless you use weights from elsewhere: 1e-5 and 1e-6 are both common.",
        minimum=1e-12,
        limit_reason="A smaller one is lost in 32-bit arithmetic.",
        maximum=0.1,
        examples=(1e-5, 1e-6),
        other_names=("rms_norm_eps",),
    )
    tie_embeddings: bool = key(
        True,
        doc="Whether the output layer reuses the embedding's weights instead of having its own.",
        effect="Tied embeddings save vocab_size x hidden_dim parameters, and small models usually learn better with "
        "them.",
        other_names=("tie_word_embeddings", "weight_tying"),
    )

    init_from: str | None = key(
        None,
        doc="The weights to start from: the folder of a Hugging Face Llama (config.json and model.safetensors), of a "
        "checkpoint, or of a run, whose best checkpoint is used. Left out: random weights.",
        effect="This is fine-tuning: the model knows what it was trained on, and goes on learning from your text. Keys "
        "of model_config that you leave out follow the folder, and so does the tokenizer. The run keeps a copy of the "
        "weights in `initial`. A lower learning_rate than from scratch is usual.",
        examples=("runs/pico-001", "models/my-llama"),
        type="path",
        default_note="random weights",
        other_names=("from_pretrained", "init_checkpoint", "pretrained", "pretrained_model"),
    )

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_dim // self.num_heads

    @property
    def kv_dim(self) -> int:
        """Width of all key/value heads together."""
        return self.num_kv_heads * self.head_dim
