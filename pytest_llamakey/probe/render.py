"""The agent's file, joined from its parts and made ready for one replica."""

from __future__ import annotations

import ast
import marshal
import sys
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from importlib.util import MAGIC_NUMBER, source_hash
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import CodeType

AGENT_MODULE = "_llamakey_agent"
"""The name under which the agent is imported: its file is called this, with ``.py``."""

PTH_LINE = f"import sys; exec('try:\\n import {AGENT_MODULE}\\nexcept Exception:\\n pass')\n"
"""The content of the ``.pth`` file beside it: ``site`` prints what such a line raises, so this one raises nothing."""

PARTS = (
    "base",
    "sight",
    "places",
    "literals",
    "wire",
    "hello",
    "clients",
    "calls",
    "redirect",
    "proxies",
    "strangers",
    "environment",
    "dotenvs",
    "settings",
    "failures",
    "spawning",
    "serving",
    "celery_pools",
    "copies",
    "unreachable",
    "rollcall",
    "commands",
    "hooks",
    "start",
)
"""The modules of :mod:`pytest_llamakey.probe.agent` in the order of the one file: each after those it imports from."""

_BEGIN, _END = "\nCONFIG = eval(", ")\n"
_MARK = "the settings of one replica"
_CHECKED = 0b11
"""The file's flags: it belongs to a source with this hash, which is to be looked at (PEP 552)."""
_FOLDER = Path(__file__).parent / "agent"
_PACKAGE = "pytest_llamakey.probe.agent."


@dataclass(frozen=True)
class AgentConfig:
    """What the agent needs to know.

    ``host``, ``port`` and ``tls_port`` (0: none) are the mock's as the app dials it. ``secret`` signs the frames,
    ``salt`` the fingerprints of foreign keys (both hex, 1 to 64 bytes). ``replica`` is the replica's id, or an ``@``
    and the path of a file in which it stands. ``canary`` is the delivered key, ``earlier`` the keys of earlier
    deployments, ``names`` the variables that the key is delivered in, ``files`` the delivered
    files: what the user calls each, and its absolute path for the app's processes. ``providers`` and ``own_hosts`` are
    host names, or patterns such as ``*.openai.azure.com``. ``workdir`` is the app's folder, to which reported file
    names are relative. ``redirect`` sends model calls for any other host to the mock; with ``intercept`` over TLS.
    ``ca_pem`` is the authority that client contexts are to trust as well. ``outside`` are process ids around the app
    whose environment is none of its business.
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
    files: Mapping[str, str] = field(default_factory=dict)
    providers: tuple[str, ...] = ("api.openai.com", "*.openai.azure.com")
    own_hosts: tuple[str, ...] = ()
    workdir: str = ""
    redirect: bool = True
    intercept: bool = False
    ca_pem: str = ""
    outside: tuple[int, ...] = ()


def _part(name: str) -> str:
    """A part's source without its imports of other parts, which stand before it in the one file."""
    source = (_FOLDER / f"{name}.py").read_text(encoding="utf-8")
    lines = source.splitlines(keepends=True)
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_PACKAGE):
            lines[node.lineno - 1 : node.end_lineno] = [""] * ((node.end_lineno or node.lineno) - node.lineno + 1)
    return "".join(lines)


@lru_cache(maxsize=1)
def _source() -> tuple[str, str]:
    before, mark, rest = "\n\n".join(map(_part, PARTS)).partition("\nCONFIG = {}")
    if not mark:
        raise ValueError("probe/agent/base.py has no line `CONFIG = {}` to put the settings into")
    return before, rest.partition("\n")[2]


def render_agent(config: AgentConfig) -> str:
    """The source of the agent with ``config`` in it."""
    before, after = _source()
    settings = {**asdict(config), "ca_name": _subject(config.ca_pem).hex()}
    return f"{before}{_BEGIN}{repr(settings)!r}{_END}{after}"


def agent_files(source: str) -> dict[str, bytes]:
    """What is laid into a site-packages folder for the agent of this ``source``, by path within it.

    With its bytecode, which a Python of this version need not make anew in each process that it starts: that is most
    of what the probe's import takes. Others pass it over (PEP 3147; PEP 552 for the file's head).
    """
    settings = source.partition(_BEGIN)[2].partition(_END)[0]
    code = _compiled(source.replace(settings, repr(_MARK), 1) if settings else source)
    constants = tuple(ast.literal_eval(settings) if _is_mark(each) else each for each in code.co_consts)
    head = MAGIC_NUMBER + _CHECKED.to_bytes(4, "little") + source_hash(source.encode())
    return {
        f"{AGENT_MODULE}.py": source.encode(),
        f"__pycache__/{AGENT_MODULE}.{sys.implementation.cache_tag}.pyc": head
        + marshal.dumps(code.replace(co_consts=constants)),
        f"{AGENT_MODULE}.pth": f"{PTH_LINE.rstrip()}\n".encode(),
    }


def _is_mark(constant: object) -> bool:
    return isinstance(constant, str) and constant == _MARK  # bytes may not be compared with it under python -bb


@lru_cache(maxsize=1)
def _compiled(source: str) -> CodeType:
    """The agent with a mark in the place of its settings: these alone are another for each replica."""
    return compile(source, f"{AGENT_MODULE}.py", "exec", dont_inherit=True)


def _subject(pem: str) -> bytes:
    """The name of this authority as it stands in the certificates that it has issued (RFC 5280, section 4.1.2.4)."""
    if not pem:
        return b""
    from cryptography import x509  # takes long to import

    return x509.load_pem_x509_certificate(pem.encode()).subject.public_bytes()
