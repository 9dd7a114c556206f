"""What a client may ask of the server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Times in seconds, sizes in bytes.

    Attributes:
        head_bytes: request line and headers; more is answered with 431.
        body_bytes: the body; more is answered with 413.
        head_seconds: from a request's first byte to the end of its headers; longer is answered with 408.
        idle_seconds: how long a connection may stay silent between requests (it is closed), within a body (408), or
            not take what is sent to it (it is dropped).
    """

    head_bytes: int = 64 * 1024
    body_bytes: int = 32 * 1024 * 1024
    head_seconds: float = 10.0
    idle_seconds: float = 60.0
