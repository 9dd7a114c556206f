"""Which hosts a deployment's calls are meant for."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

AZURE_HOSTS = ("*.openai.azure.com", "*.cognitiveservices.azure.com", "*.services.ai.azure.com")
OPENAI_HOSTS = ("api.openai.com", "*.api.openai.com")


def among(host: str, patterns: Iterable[str]) -> bool:
    """Whether ``host``, with or without its port, is one of ``patterns``; ``*`` stands for one label or more."""
    name = host.rpartition("@")[2].lower()
    bare = name.rsplit(":", 1)[0]
    return any(fnmatchcase(each, pattern.lower()) for pattern in patterns for each in (name, bare))


def host_of(base: str) -> str:
    """Host and port of a base URL."""
    return base.partition("://")[2].partition("/")[0].rpartition("@")[2]
