"""What the tests of the config share."""

from __future__ import annotations

from pathlib import Path

from trickster_engine.config import Problem, check
from trickster_engine.config.yaml.text import Lines

# Every key of the lesson's own file, with its values.
LESSON = """\
model_config:
  vocab_size: 256
  hidden_dim: 256
  num_layers: 6
  num_heads: 8
  mlp_dim: 768
  max_seq_len: 512
  dropout: 0.1

training_config:
  batch_size: 16
  gradient_accumulation_steps: 2
  max_steps: 10000
  warmup_steps: 1000
  learning_rate: 0.0003
  weight_decay: 0.1
  beta1: 0.9
  beta2: 0.95
  grad_clip: 1.0
  log_interval: 50
  eval_interval: 500
  save_interval: 1000
  log_level: "INFO"
  use_wandb: false
  checkpoint_frequency: 1000
  validation_frequency: 500
  save_strategy: "steps"
  keep_best_n: 3

device_config:
  enable_ddp: False
  mesh_shape: [1, 1]
  device_type: "tt"

data_config:
  train_data: "data/train.pt"
  val_data: "data/val.pt"
  tokenizer: "data/tokenizer.pt"

output_config:
  output_dir: "output/nano_trickster"
  checkpoint_dir: "output/nano_trickster/checkpoints"
  log_dir: "output/nano_trickster/logs"
"""


def problems_of(text: str, code: str, folder: Path | None = None) -> list[Problem]:
    """The problems with this code."""
    return [problem for problem in check(text, folder).problems if problem.code == code]


def codes_of(text: str, folder: Path | None = None) -> list[str]:
    """All codes, in order of position."""
    return [problem.code for problem in check(text, folder).problems]


def underlined(text: str, problem: Problem) -> str:
    """The text that a problem points at."""
    return Lines(text).slice(problem.range)
