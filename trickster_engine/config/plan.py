"""The typed form of a config: what a YAML file means once it has been checked. Its keys are declared in `keys/`."""

from __future__ import annotations

from dataclasses import dataclass, field

from trickster_engine.config.keys.alerts import AlertsConfig
from trickster_engine.config.keys.data import DataConfig
from trickster_engine.config.keys.device import DeviceConfig
from trickster_engine.config.keys.model import ModelConfig
from trickster_engine.config.keys.output import OutputConfig
from trickster_engine.config.keys.sampling import SamplingConfig
from trickster_engine.config.keys.training import TrainingConfig

__all__ = [
    "AlertsConfig",
    "DataConfig",
    "DeviceConfig",
    "ModelConfig",
    "OutputConfig",
    "Plan",
    "SamplingConfig",
    "TrainingConfig",
]


@dataclass(frozen=True)
class Plan:
    """One checked config."""

    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    device: DeviceConfig = field(default_factory=DeviceConfig)
    data: DataConfig = field(default_factory=DataConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    alerts: AlertsConfig = field(default_factory=AlertsConfig)

    @property
    def reads_twice(self) -> bool:
        """Whether training reads each batch twice (`r_drop`)."""
        return self.training.r_drop > 0 and self.model.dropout > 0
