"""Which Tenstorrent boards this machine has, from what the kernel says. Opens nothing and imports nothing heavy."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trickster_engine.system.substitutes import substitute

#: Tenstorrent's number among the makers of PCI devices.
PCI_VENDOR = "0x1e52"

#: Board families by how their card types begin -> the architecture's name in TT_METAL_ARCH_NAME. The driver calls a
#: Galaxy's boards galaxy-wormhole and galaxy-blackhole, tt-smi tt-galaxy-wh and tt-galaxy-bh.
_ARCHITECTURES = (
    (re.compile(r"^(n150|n300|nb_cb|wh_|(tt-)?galaxy-w)"), "wormhole_b0"),
    (re.compile(r"^(p100|p150|p300|(tt-)?galaxy-b|bh-)"), "blackhole"),
    (re.compile(r"^(e75|e150|e300)"), "grayskull"),
)


#: The chips by Tenstorrent's numbers among PCI devices: they tell where a card's name is new.
_PCI_ARCHITECTURES = {"0x401e": "wormhole_b0", "0xb140": "blackhole", "0xfaca": "grayskull"}


@dataclass(frozen=True)
class Board:
    """One device as the driver shows it. A card with two chips may be one device or two."""

    number: int
    path: Path  # /dev/tenstorrent/<number>
    usable: bool  # this user may read and write it
    card_type: str | None  # n150, p300c, …
    firmware: str | None
    holders: tuple[int, ...]  # processes that have it open, as far as this user can see
    pci_id: str | None = None  # 0x401e, 0xb140, …

    @property
    def architecture(self) -> str | None:
        """`wormhole_b0`, `blackhole`, `grayskull`, or None where neither the card type nor its PCI id tells."""
        return architecture_of(self.card_type) or _PCI_ARCHITECTURES.get((self.pci_id or "").lower())


def board_present() -> bool:
    """Whether a board, or a simulated chip, is here and a package called ttml can be found (which, the backend checks).

    A simulated chip is one that somebody has asked for: its variable is set.
    """
    stands_in = substitute()
    here = (stands_in is not None and stands_in.simulates) or next(_device_files(Path("/")), None) is not None
    return here and importlib.util.find_spec("ttml") is not None


def boards(root: Path = Path("/")) -> list[Board]:
    """All boards that this machine lets us see, by number."""
    return [_board(root, number, path) for number, path in sorted(_device_files(root))]


def architecture_of(card_type: str | None) -> str | None:
    """The architecture of a card type."""
    for pattern, architecture in _ARCHITECTURES:
        if card_type and pattern.match(card_type.lower()):
            return architecture
    return None


def driver_version(root: Path = Path("/")) -> str | None:
    """The kernel driver's version, or None where it is not loaded."""
    return _first_line(root / "sys/module/tenstorrent/version")


def pci_devices(root: Path = Path("/")) -> list[str]:
    """PCI addresses of Tenstorrent devices, with or without a driver."""
    folder = root / "sys/bus/pci/devices"
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path.name for path in found if _first_line(path / "vendor") == PCI_VENDOR]


def _device_files(root: Path) -> Iterator[tuple[int, Path]]:
    folder = root / "dev/tenstorrent"
    if folder.is_dir():
        for path in folder.iterdir():
            if path.name.isdigit():
                yield int(path.name), path


def _board(root: Path, number: int, path: Path) -> Board:
    shown = root / "sys/class/tenstorrent" / f"tenstorrent!{number}"
    return Board(
        number=number,
        path=path,
        usable=os.access(path, os.R_OK | os.W_OK),
        card_type=_first_line(shown / "tt_card_type") or _first_line(shown / "device/tt_card_type"),
        firmware=_first_line(shown / "tt_fw_bundle_ver") or _first_line(shown / "device/tt_fw_bundle_ver"),
        holders=_holders(root, number, path),
        pci_id=_first_line(shown / "device/device"),
    )


def _holders(root: Path, number: int, path: Path) -> tuple[int, ...]:
    listed = root / "proc/driver/tenstorrent" / str(number) / "pids"
    try:
        return tuple(int(word) for word in listed.read_text().split() if word.isdigit())
    except OSError:
        pass  # an older driver keeps no list: look who has the file open
    found = set()
    for link in (root / "proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link) == str(path):  # noqa: PTH115 - Path.readlink would have to be turned back into text
                found.add(int(link.parts[-3]))
        except OSError:
            continue  # the process ended, or belongs to somebody else
    return tuple(sorted(found))


def _first_line(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip().splitlines()[0]
    except (OSError, IndexError):
        return None
