"""What the API's answers depend on: all that is read of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import httpx

VERSION = "api-version"
"""The query parameter that Azure asks for."""


class Question(NamedTuple):
    """One request; ``path`` has its percent-encoding undone, a header that is not there is ``""``.

    ``versioned`` tells whether the query names Azure's ``api-version``.
    """

    method: str
    path: str
    versioned: bool
    authorization: str
    api_key: str
    content: bytes

    @classmethod
    def of(cls, request: httpx.Request) -> Question:
        """What ``request`` asks."""
        return cls(
            method=request.method,
            path=request.url.path,
            versioned=VERSION in request.url.params,
            authorization=request.headers.get("authorization", ""),
            api_key=request.headers.get("api-key", ""),
            content=request.content,
        )

    @property
    def azure(self) -> bool:
        """Whether the path is one of Azure OpenAI's (``/openai/…``)."""
        return self.path.startswith("/openai/")
