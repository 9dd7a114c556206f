"""The agent's file, made ready for one replica."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

AGENT_MODULE = "_llamakey_agent"
"""The name under which the agent is imported: its file is called this, with ``.py``."""

PTH_LINE = f"import sys; exec('try:\\n import {AGENT_MODULE}\\nexcept Exception:\\n pass')\n"
"""The content of the ``.pth`` file beside it: ``site`` prints what such a line raises, so this one raises nothing."""


@dataclass(frozen=True)
class AgentConfig:
    """What the agent needs to know.

    ``host``, ``port`` and ``tls_port`` (0: none) are the mock's as the app dials it. ``secret`` signs the frames,
    ``salt`` the fingerprints of foreign keys (both hex, 1 to 64 bytes). ``canary`` is the delivered key, ``earlier``
    the keys of earlier deployments, ``names`` the variables that the key is delivered in. ``providers`` and
    ``own_hosts`` are host names, or patterns such as ``*.openai.azure.com``. ``workdir`` is the app's folder, to which
    reported file names are relative. ``redirect`` sends model calls for any other host to the mock; with ``intercept``
    over TLS. ``ca_pem`` is the authority that client contexts are to trust as well.
    """

    host: str
    port: int
    secret: str
    salt: str
    replica: str
    canary: str
    tls_port: int = 0
    earlier: tuple[str, ...] = ()
    names: tuple[str, ...] = ("OPENAI_API_KEY",)
    providers: tuple[str, ...] = ("api.openai.com", "*.openai.azure.com")
    own_hosts: tuple[str, ...] = ()
    workdir: str = ""
    redirect: bool = True
    intercept: bool = False
    ca_pem: str = ""


@lru_cache(maxsize=1)
def _source() -> tuple[str, str]:
    text = (Path(__file__).parent / "agent.py").read_text(encoding="utf-8")
    before, mark, rest = text.partition("\nCONFIG = {}")
    if not mark:
        raise ValueError("probe/agent.py has no line `CONFIG = {}` to put the settings into")
    return before, rest.partition("\n")[2]


def render_agent(config: AgentConfig) -> str:
    """The source of the agent with ``config`` in it."""
    before, after = _source()
    return f"{before}\nCONFIG = {asdict(config)!r}\n{after}"
