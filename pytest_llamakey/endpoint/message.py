"""One HTTP/1.1 message in each direction, between the connection, which speaks the protocol, and what answers."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

HOP_BY_HOP = frozenset((b"connection", b"content-length", b"keep-alive", b"transfer-encoding"))
"""Headers that the connection decides for itself (RFC 9110, section 7.6.1)."""

_BODILESS = frozenset((HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED))


@dataclass(frozen=True)
class Incoming:
    """A complete request. ``headers`` have names in lower case; ``path`` and ``query`` are as sent."""

    at: float
    method: str
    scheme: str
    host: str
    path: str
    query: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    peer: tuple[str, int]
    version: str
    keep_alive: bool
    raw: bytes = b""
    """The request's own bytes, where it came in one piece, keeps the connection, and may be answered from memory."""

    @property
    def url(self) -> str:
        """The whole URL."""
        query = f"?{self.query}" if self.query else ""
        return f"{self.scheme}://{self.host}{self.path}{query}"


@dataclass(frozen=True)
class Outgoing:
    """An answer; its body is there (``bytes``), is made without waiting (``Iterator``), or comes in its time."""

    status: int
    reason: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes | Iterator[bytes] | AsyncIterator[bytes]

    @property
    def bodiless(self) -> bool:
        """Whether this status never has a body (RFC 9110, section 6.4.1)."""
        return self.status < HTTPStatus.OK or self.status in _BODILESS

    @property
    def closes(self) -> bool:
        """Whether the answer itself asks to close the connection."""
        return any(name.lower() == b"connection" and b"close" in value.lower() for name, value in self.headers)

    @property
    def is_event_stream(self) -> bool:
        """Whether the body is server-sent events."""
        return any(
            name.lower() == b"content-type" and value.startswith(b"text/event-stream") for name, value in self.headers
        )

    def head(self, version: str, *, keep_alive: bool) -> bytes:
        """Status line and headers for a client that speaks HTTP ``version``, up to and with the empty line."""
        lines = [b"HTTP/1.1 %d %s" % (self.status, self.reason.encode("latin-1", "replace"))]
        lines += [b"%s: %s" % each for each in self.headers if each[0].lower() not in HOP_BY_HOP]
        lines += self._framing(version)
        if not keep_alive:
            lines.append(b"connection: close")
        elif version == "1.0":
            lines.append(b"connection: keep-alive")
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _framing(self, version: str) -> Iterator[bytes]:
        if self.bodiless:
            return
        if isinstance(self.body, bytes):
            yield b"content-length: %d" % len(self.body)
        elif version != "1.0":
            yield b"transfer-encoding: chunked"
