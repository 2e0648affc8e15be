"""The keys of `device_config`: where the training runs."""

from __future__ import annotations

from dataclasses import dataclass

from trickster_engine.config.keys.spec import key


@dataclass(frozen=True)
class DeviceConfig:
    """`device_config`: where the training runs.

    The same file trains on a laptop's CPU, a GPU, or a Tenstorrent board; only this section need differ.
    """

    device_type: str = key(
        "auto",
        doc="The kind of device that trains.",
        effect="The same model and text give nearly the same losses on every device; the time differs.",
        choices={
            "auto": "The fastest device available: tt, then cuda, then mps, then cpu.",
            "tt": "A Tenstorrent board, through ttml. Sizes must be multiples of 32.",
            "cuda": "An NVIDIA GPU.",
            "mps": "The GPU of an Apple computer.",
            "cpu": "The CPU. Every machine has one.",
        },
        other_names=("device",),
    )
    mesh_shape: tuple[int, int] = key(
        (1, 1),
        doc="The devices as a grid, [rows, columns]. Data-parallel training uses one row: [1, 2] is two chips or "
        "GPUs, or on a CPU two processes that share its cores.",
        effect="Each device works on its share of the batch, so batch_size must be divisible by their number.",
        unit="devices",
        minimum=1,
        maximum=1_024,
        examples=((1, 1), (1, 2), (1, 4)),
        type="mesh",
    )
    enable_ddp: bool = key(
        False,
        doc="Data-parallel training: each device has a copy of the model and a share of the batch; gradients are "
        "averaged at each step. With torch, torchrun starts one process per device; a run can be resumed with another "
        "number of them.",
        effect="The speed grows nearly with the number of devices. Needs a mesh_shape of more than one device.",
        other_names=("ddp",),
    )
    sharding: str = key(
        "none",
        doc="How data-parallel training with torch distributes the model over the devices.",
        effect="`full` trains a model that is too large for one device, with more traffic between the devices. It "
        "needs the AdamW optimizer.",
        choices={
            "none": "Each device has all weights, gradients and optimizer state.",
            "full": "Each device has a shard of them; the weights of a block are gathered while it computes (torch's "
            "FSDP2, `fully_shard`).",
        },
    )

    @property
    def devices(self) -> int:
        """How many devices train together: a process for each, with torch."""
        return self.mesh_shape[0] * self.mesh_shape[1] if self.enable_ddp else 1
