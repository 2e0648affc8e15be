"""What the processes of a tree listen on, as `ss -tulnp` tells it, read from /proc."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from typing import NamedTuple

_LISTENING = "0A"
_UNCONNECTED = "07"


class Listener(NamedTuple):
    """A socket that takes what others send."""

    pid: int
    address: str
    port: int


def tree_of(pid: int) -> set[int]:
    """A process and all that come from it."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "stat").read_text(errors="replace")
        except OSError:
            continue
        parents[int(folder.name)] = int(status[status.rfind(")") + 2 :].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def listeners(pid: int) -> set[Listener]:
    """What the process and all that come from it listen on now, in the network that each of them sees."""
    return {one for member in tree_of(pid) for one in _of_process(member)}


def _of_process(pid: int) -> set[Listener]:
    found = set()
    try:
        links = [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]
        inodes = {link[8:-1] for link in links if link.startswith("socket:[")}
        for table, state in (("tcp", _LISTENING), ("tcp6", _LISTENING), ("udp", _UNCONNECTED), ("udp6", _UNCONNECTED)):
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == state and fields[9] in inodes:
                    address, port = fields[1].split(":")
                    found.add(Listener(pid, _address(address), int(port, 16)))
    except OSError:  # it has ended, or has just closed one
        pass
    return found


def _address(digits: str) -> str:
    """The kernel writes an address as words of 32 bits in the machine's order."""
    words = [int(digits[at : at + 8], 16).to_bytes(4, "little") for at in range(0, len(digits), 8)]
    return socket.inet_ntop(socket.AF_INET if len(words) == 1 else socket.AF_INET6, b"".join(words))


def beyond_loopback(found: set[Listener]) -> set[Listener]:
    """Those that another machine could reach."""
    return {one for one in found if not ipaddress.ip_address(one.address).is_loopback}
