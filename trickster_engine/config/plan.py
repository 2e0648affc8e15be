"""The typed form of a config: what a YAML file means once it has been checked."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class ModelConfig:
    """`model_config`: the shape of the transformer."""

    vocab_size: int = 256
    hidden_dim: int = 256
    num_layers: int = 6
    num_heads: int = 8
    num_kv_heads: int = 8  # left out: num_heads
    mlp_dim: int = 768
    max_seq_len: int = 512
    dropout: float = 0.1
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5
    tie_embeddings: bool = True

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_dim // self.num_heads


@dataclass(frozen=True)
class TrainingConfig:
    """`training_config`: how the weights are learned."""

    batch_size: int = 16
    gradient_accumulation_steps: int = 2
    max_steps: int = 10000
    warmup_steps: int = 1000
    learning_rate: float = 3e-4
    min_learning_rate: float = 3e-5  # left out: a tenth of learning_rate
    lr_schedule: str = "cosine"  # cosine | linear
    optimizer: str = "adamw"  # adamw | muon
    muon_learning_rate: float = 0.02  # for the matrices when optimizer is muon; scaled by the same schedule
    muon_momentum: float = 0.95
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    grad_clip: float = 1.0  # 0 = off
    loss: str = "cross_entropy"  # cross_entropy | label_smoothing | focal
    label_smoothing: float = 0.1  # read only by loss: label_smoothing
    focal_gamma: float = 2.0  # read only by loss: focal
    precision: str = "auto"  # auto | fp32 | bf16
    seed: int = 1337
    log_interval: int = 50
    eval_interval: int = 500
    save_interval: int = 1000
    keep_best_n: int = 3
    early_stopping_patience: int = 0  # evaluations without improvement before stopping; 0 = off
    early_stopping_min_delta: float = 0.0  # nats
    tracking: str = "none"  # none | tensorboard | wandb


@dataclass(frozen=True)
class DeviceConfig:
    """`device_config`: where the training runs."""

    device_type: str = "auto"  # auto | tt | cuda | mps | cpu
    mesh_shape: tuple[int, int] = (1, 1)
    enable_ddp: bool = False


@dataclass(frozen=True)
class DataConfig:
    """`data_config`: the text, and how it becomes tokens. Paths are as written in the file."""

    corpus: str = "shakespeare"  # shakespeare | python | a file or folder
    tokenizer: str = "byte"  # byte | char | bpe | the lesson's tokenizer.pt
    val_fraction: float = 0.1
    train_data: str | None = None  # the lesson's train.pt (with val_data, replaces corpus)
    val_data: str | None = None


@dataclass(frozen=True)
class OutputConfig:
    """`output_config`: where runs are written."""

    output_dir: str = "runs"
    checkpoint_dir: str | None = None  # left out: <run>/checkpoints
    log_dir: str | None = None  # left out: the run directory


@dataclass(frozen=True)
class SamplingConfig:
    """`sampling_config`: the text generated at each evaluation, and the defaults of `trickster sample`."""

    prompt: str = "ROMEO:"
    max_new_tokens: int = 200
    temperature: float = 0.8  # 0 = always the most likely token
    top_k: int = 0  # 0 = off
    top_p: float = 1.0  # 1 = off
    repetition_penalty: float = 1.0  # 1 = off
    seed: int = 1337


@dataclass(frozen=True)
class Plan:
    """One checked config."""

    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    device: DeviceConfig = field(default_factory=DeviceConfig)
    data: DataConfig = field(default_factory=DataConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
