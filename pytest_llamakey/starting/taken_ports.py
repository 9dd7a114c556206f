"""A port that another process has: what an app says of it, and what to do."""

from __future__ import annotations

import re

_TAKEN = re.compile(r"address already in use|\[Errno (?:98|48)\]|EADDRINUSE", re.IGNORECASE)
"""``EADDRINUSE`` is 98 on Linux and 48 on macOS (errno(3))."""


def advice(runtime: str, said: str) -> str:
    """What to do, as a sentence, where the app ``said`` that its port is in use; else nothing."""
    if not _TAKEN.search(said):
        return ""
    if runtime == "process":
        return (
            "The port that the app is to listen on is in use on this machine: write {port} where its command or "
            "`env` names it, and each run gets a free one; or end what listens there."
        )
    return "Two processes of the app are to listen on the same port: give each its own, or start one of them only."
