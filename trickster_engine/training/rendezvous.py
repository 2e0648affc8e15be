"""Where torchrun's agents meet, and what can be reached of that from outside.

torch's own meeting points listen on every network of the machine and unpickle what they are sent: whoever reaches
them runs code here. On one machine there is no meeting point at all. On several it listens at the address that the
machine was given (`--local-addr`), and nowhere else.
"""

from __future__ import annotations

import errno
import socket
import sys
from datetime import timedelta
from functools import partial

from torch._C._distributed_c10d import HashStore, TCPStore
from torch.distributed.elastic.rendezvous import (
    RendezvousHandler,
    RendezvousInfo,
    RendezvousParameters,
    RendezvousStoreInfo,
    rendezvous_handler_registry,
)
from torch.distributed.elastic.rendezvous.c10d_rendezvous_backend import C10dRendezvousBackend
from torch.distributed.elastic.rendezvous.dynamic_rendezvous import create_handler
from torch.distributed.elastic.rendezvous.utils import parse_rendezvous_endpoint

from trickster_engine.errors import TricksterError

#: The names that `--rdzv-backend` knows these by.
ONE_MACHINE = "trickster-one-machine"
SEVERAL_MACHINES = "trickster-several-machines"
_PORT = 29400  # torchrun's own
_BACKLOG = 4096


class _Alone(RendezvousHandler):
    """The agent of a run on one machine has nobody to meet: what it keeps, it keeps in its own memory."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._store = HashStore()
        self._closed = False

    def get_backend(self) -> str:
        return ONE_MACHINE

    @property
    def use_agent_store(self) -> bool:
        return False

    def next_rendezvous(self) -> RendezvousInfo:
        # Nobody listens there: the training processes meet in a file (backends/torch/process_group.py).
        return RendezvousInfo(self._store, 0, 1, RendezvousStoreInfo("127.0.0.1", 0))

    def is_closed(self) -> bool:
        return self._closed

    def set_closed(self) -> None:
        self._closed = True

    def num_nodes_waiting(self) -> int:
        return 0

    def get_run_id(self) -> str:
        return self._run_id

    def shutdown(self) -> bool:
        self._closed = True
        return True


class _AtOneAddress(C10dRendezvousBackend):
    @property
    def name(self) -> str:
        return SEVERAL_MACHINES


def register() -> None:
    """Have torchrun know both meeting points."""
    for name, create in ((ONE_MACHINE, _one_machine), (SEVERAL_MACHINES, _several_machines)):
        rendezvous_handler_registry.register(name, create)


def _one_machine(params: RendezvousParameters) -> RendezvousHandler:
    return _Alone(params.run_id)


def _several_machines(params: RendezvousParameters) -> RendezvousHandler:
    """torch's c10d meeting point, but its servers listen at this machine's named address alone."""
    assert params.local_addr is not None
    host, port = parse_rendezvous_endpoint(params.endpoint, default_port=_PORT)
    is_host = params.get_as_bool("is_host")
    serves = is_here(host, params.local_addr) if is_host is None else is_host
    timeout = timedelta(seconds=params.get_as_int("read_timeout") or 60)
    meeting = _meeting_server(host, params.local_addr, port, timeout) if serves else None
    meeting = meeting or TCPStore(host, port, timeout=timeout)
    handler = create_handler(meeting, _AtOneAddress(meeting, params.run_id), params)
    # The second server, through which the training processes meet.
    serve = partial(_server, timeout=timedelta(seconds=300))
    handler._create_tcp_store_server = serve  # type: ignore[method-assign]
    return handler


def is_here(host: str, local_address: str) -> bool:
    """Whether a meeting point is on the machine that is reached at `local_address`."""
    return host in ("localhost", socket.gethostname()) or bool(_addresses(host) & _addresses(local_address))


def interface_of(local_address: str) -> str | None:
    """The network interface that has this address; None where the system does not say (only Linux does)."""
    if not sys.platform.startswith("linux"):
        return None
    import fcntl

    siocgifaddr = 0x8915
    wanted = _addresses(local_address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            request = name.encode().ljust(40, b"\0")
            try:
                answer = fcntl.ioctl(asking, siocgifaddr, request)
            except OSError:  # it has no address of the fourth version
                continue
            if socket.inet_ntoa(answer[20:24]) in wanted:
                return name
    return None


def _meeting_server(host: str, local_address: str, port: int, timeout: timedelta) -> TCPStore | None:
    """The meeting point, at the address that others know it by; None where this machine serves it already."""
    # A machine's own name often leads to loopback in its own eyes, where the others do not come.
    known = [address for address in _addresses(host) if not address.startswith(("127.", "::1"))]
    for address in (*known, local_address):
        try:
            return _server(address, port, timeout)
        except TricksterError:
            if address == local_address:
                raise
        except OSError:
            return None
    return None


def _server(address: str, port: int, timeout: timedelta) -> TCPStore:
    """A store that listens at one address. Raises TricksterError where that is not this machine's, and OSError."""
    family, kind, protocol, _, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(place)
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            raise TricksterError(
                "address-not-here",
                f"--local-addr {address} is not an address of this machine.",
                "Choose one that `ip addr` shows and the other machines can reach.",
            ) from None
        listening.listen(_BACKLOG)
        # Named by its number, so that nothing is looked up a second time.
        numeric, bound = listening.getsockname()[:2]
        return TCPStore(
            numeric, bound, is_master=True, timeout=timeout, multi_tenant=True, master_listen_fd=listening.detach()
        )


def _addresses(host: str) -> set[str]:
    try:
        return {str(one[4][0]) for one in socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)}
    except socket.gaierror:
        return set()
