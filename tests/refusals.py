"""What a test expects to be refused, by the error's code: its sentence is free to become clearer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from trickster_engine.errors import TricksterError


@contextmanager
def refused(code: str, naming: str = "") -> Iterator[pytest.ExceptionInfo[TricksterError]]:
    """What is done inside raises a TricksterError of this code; `naming` is what its message must not leave out."""
    with pytest.raises(TricksterError) as caught:
        yield caught
    assert caught.value.code == code, f"{caught.value.code}: {caught.value}"
    assert naming in caught.value.message
