"""What a container has written, as far as it is kept."""

from __future__ import annotations

import threading

LOG_BYTES = 8 * 1024 * 1024
"""How much of the output is kept, counted from its end."""


class Output:
    """The last :data:`LOG_BYTES` of what was written. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._text = bytearray()

    def add(self, piece: bytes) -> None:
        """Take up a further piece."""
        with self._lock:
            self._text += piece
            # Cut rarely: each cut moves all that is kept.
            if len(self._text) > LOG_BYTES + LOG_BYTES // 8:
                del self._text[:-LOG_BYTES]

    def read(self) -> bytes:
        """All that is kept."""
        with self._lock:
            return bytes(self._text[-LOG_BYTES:])
