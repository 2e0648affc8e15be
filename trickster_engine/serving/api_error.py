"""What the API answers when it cannot do as asked, in the words and the form of OpenAI's."""

from __future__ import annotations

from typing import Any

INVALID = "invalid_request_error"


class ApiError(Exception):
    """A refusal: an HTTP status and `{"error": {"message", "type", "param", "code"}}`."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        param: str | None = None,
        kind: str = INVALID,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        fields = {"message": message, "type": kind, "param": param, "code": code}
        #: What a client named may hold half a character, which UTF-8 cannot say.
        self.body: dict[str, Any] = {
            "error": {name: value and value.encode("utf-8", "replace").decode() for name, value in fields.items()}
        }
        self.headers = headers


def wrong(param: str, message: str, code: str = "invalid_value") -> ApiError:
    """A field of a request that cannot be used."""
    return ApiError(400, message, code, param)


def stopping() -> ApiError:
    """The server was asked to stop while it worked on this."""
    return ApiError(503, "The server is stopping.", "server_stopping", kind="server_error")
