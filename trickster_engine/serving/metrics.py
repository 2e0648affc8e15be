"""What the server counts, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """The figures of one server, with those of its process (memory, processor time) where the system gives them."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "trickster_requests", "Completion requests that ended, by HTTP status or `cancelled`", ["status"],
            registry=registry,
        )  # fmt: skip
        self._drawn = Counter("trickster_generated_tokens", "Tokens drawn", registry=registry)
        self._read = Counter("trickster_prompt_tokens", "Tokens of prompts read", registry=registry)
        self._running = Gauge("trickster_texts_running", "Texts in the batch", registry=registry)
        self._waiting = Gauge("trickster_texts_waiting", "Texts that wait for a place in it", registry=registry)
        self._open = Gauge("trickster_requests_open", "Completion requests that are not over", registry=registry)
        self._first = Histogram(
            "trickster_first_piece_seconds", "From a request to its first text", buckets=_SECONDS, registry=registry
        )
        self._whole = Histogram(
            "trickster_request_seconds", "From a request to its end", buckets=_SECONDS, registry=registry
        )

    def watch(self, running: Callable[[], int], waiting: Callable[[], int]) -> None:
        """Ask for these whenever the figures are asked for."""
        self._running.set_function(running)
        self._waiting.set_function(waiting)

    def drawn(self, tokens: int) -> None:
        """So many tokens were drawn."""
        self._drawn.inc(tokens)

    def read(self, tokens: int) -> None:
        """So many tokens of a prompt were read."""
        self._read.inc(tokens)

    def opened(self) -> None:
        """A request has come."""
        self._open.inc()

    def first_text(self, seconds: float) -> None:
        """A request has its first text after this time."""
        self._first.observe(seconds)

    def closed(self, status: str, seconds: float) -> None:
        """A request is over."""
        self._open.dec()
        self._requests.labels(status).inc()
        self._whole.observe(seconds)

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self._registry)
