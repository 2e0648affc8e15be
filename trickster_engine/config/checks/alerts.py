"""Rules about where alerts are sent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from trickster_engine.config.problems import Problem
from trickster_engine.config.settings import Settings, rule
from trickster_engine.system.loopback import is_loopback

WEBHOOK = "alerts_config.webhook"
#: What all who take an address apart read alike: some decode a %, or let a name follow an address in brackets.
_PLAIN_HOST = re.compile(r"(\[[^][%]+\]|[^][:%]+)(:\d*)?")


def may_be_sent_to(address: str) -> bool:
    """Whether an address is https, or http on this machine, with a host and without a password in it."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if (
        not host
        or not _PLAIN_HOST.fullmatch(parts.netloc)
        or parts.username is not None
        or any(character <= " " for character in address)
    ):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))


@rule(WEBHOOK)
def _webhook_is_private(settings: Settings) -> Iterator[Problem]:
    webhook = settings.value(WEBHOOK)
    if isinstance(webhook, str) and not may_be_sent_to(webhook):
        message = (
            "webhook must be an address that begins with https://, or with http:// on this machine (127.0.0.1, ::1, "
            "localhost), without a user name: anybody on the way could read what is sent otherwise."
        )
        yield settings.problem("webhook-not-private", "error", message, WEBHOOK, fixes=(settings.remove(WEBHOOK),))
