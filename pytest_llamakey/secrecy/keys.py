"""Canary keys: fakes that are recognised at a glance, and everything secret that one run needs."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from hashlib import blake2b

from pytest_llamakey.facts import KeySight

CANARY_PREFIX = "sk-llamakey-"
DECOY = CANARY_PREFIX + "0" * 40
"""What stands in for a tester's own credentials; the same in every run, so that image layers stay cached."""
_REFERENCE = re.compile(r"""[ "']*(?:\$\w+|\$\{\w+\}|%\w+%)[ "']*""")
"""A reference to a variable that nobody has expanded."""
ADDED_AT_MOST = 16
"""Characters around the key that still count as an alteration of it."""


def fresh_canary() -> str:
    """A fresh fake key, shaped like OpenAI's own and recognisable as ours."""
    return CANARY_PREFIX + secrets.token_hex(20)


@dataclass(frozen=True)
class Secrets:
    """What one run keeps to itself: the key under test, earlier ones, and the secrets of the probe's line.

    ``signing`` authenticates the probe's messages; ``salt`` makes fingerprints of foreign keys useless elsewhere.
    """

    canary: str
    signing: bytes = field(repr=False)
    salt: bytes = field(repr=False)
    earlier: tuple[str, ...] = ()

    @classmethod
    def fresh(cls, canary: str | None = None) -> Secrets:
        """Secrets for one deployment, around ``canary`` or a fresh one."""
        return cls(canary or fresh_canary(), secrets.token_bytes(32), secrets.token_bytes(16))

    def sight(self, value: str | None) -> KeySight:
        """``value`` held against the key under test; a foreign key is shown as ``sk-…`` and a salted fingerprint."""
        if value is None:
            return KeySight("missing")
        if not value.strip():
            return KeySight("empty")
        if value == self.canary:
            return KeySight("match", "<key>")
        if self.canary in value and len(value) <= len(self.canary) + ADDED_AT_MOST:
            return KeySight("mangled", f'"{repr(value)[1:-1].replace(self.canary, "<key>")}"')
        if _REFERENCE.fullmatch(value):
            return KeySight("mangled", f'"{value}"')
        if value in self.earlier:
            return KeySight("different", "<earlier key>")
        digest = blake2b(value.encode("utf-8", "surrogatepass"), digest_size=4, key=self.salt).hexdigest()
        return KeySight("different", f"sk-…{digest}")
