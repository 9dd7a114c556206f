"""The independent choices that an app is laid out from, and which of them go together."""

from __future__ import annotations

import importlib.util
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tools.accuracy import names

if TYPE_CHECKING:
    from random import Random

Kind = Literal["wsgi", "asgi", "raw"]
Forks = Literal["worker", "preload", "spawn", "single", "prefork"]


SCRIPTS = ("uvicorn-run", "werkzeug", "http.server", "prefork", "multiprocessing", "multiprocessing-spawn")
"""Servers that the app starts itself."""


@dataclass(frozen=True)
class Server:
    """A way to serve: what it speaks, how its workers come to be (``forks``), and how many."""

    name: str
    kind: Kind
    forks: Forks
    workers: int
    weight: int = 1

    @property
    def gunicorn(self) -> bool:
        """Whether it is gunicorn, which reads ``gunicorn.conf.py``."""
        return self.name.startswith("gunicorn")

    @property
    def script(self) -> bool:
        """Whether the app starts its server itself."""
        return self.name in SCRIPTS


SERVERS = (
    Server("gunicorn-sync", "wsgi", "worker", 2, 3),
    Server("gunicorn-gthread", "wsgi", "worker", 2, 2),
    Server("gunicorn-preload", "wsgi", "preload", 2, 4),
    Server("gunicorn-asgi", "asgi", "worker", 2, 2),
    Server("gunicorn-asgi-preload", "asgi", "preload", 2, 4),
    Server("uvicorn-workers", "asgi", "spawn", 2, 3),
    Server("uvicorn", "asgi", "single", 1, 1),
    Server("uvicorn-run", "asgi", "single", 1, 1),
    Server("flask-dev", "wsgi", "single", 1, 1),
    Server("werkzeug", "wsgi", "single", 1, 1),
    Server("http.server", "raw", "single", 1, 1),
    Server("prefork", "wsgi", "prefork", 2, 3),
    Server("multiprocessing", "asgi", "prefork", 2, 3),
    Server("multiprocessing-spawn", "asgi", "spawn", 2, 2),
)


@dataclass(frozen=True)
class Library:
    """A client class: where it is imported from, the variable it reads by itself, and the calls the app may make."""

    name: str
    module: str
    cls: str
    variable: str
    is_async: bool
    family: Literal["bare", "llama"]
    calls: tuple[str, ...]
    weight: int = 1

    @property
    def azure(self) -> bool:
        """Whether it is for Azure."""
        return "azure" in self.name


_OPENAI, _AZURE = "OPENAI_API_KEY", "AZURE_OPENAI_API_KEY"
LIBRARIES = (
    Library("openai", "openai", "OpenAI", _OPENAI, False, "bare", ("chat", "stream", "responses", "embedding"), 7),
    Library("openai-async", "openai", "AsyncOpenAI", _OPENAI, True, "bare", ("chat", "stream", "responses"), 4),
    Library("openai-azure", "openai", "AzureOpenAI", _AZURE, False, "bare", ("chat", "stream", "embedding"), 2),
    Library("openai-azure-async", "openai", "AsyncAzureOpenAI", _AZURE, True, "bare", ("chat",), 1),
    Library("llama", "llama_index.llms.openai", "OpenAI", _OPENAI, False, "llama", ("complete", "chat", "stream"), 2),
    Library("llama-async", "llama_index.llms.openai", "OpenAI", _OPENAI, True, "llama", ("complete", "chat"), 1),
    Library("llama-responses", "llama_index.llms.openai", "OpenAIResponses", _OPENAI, False, "llama", ("complete",), 1),
    Library("llama-azure", "llama_index.llms.azure_openai", "AzureOpenAI", _AZURE, False, "llama", ("complete",), 1),
    Library("llama-like", "llama_index.llms.openai_like", "OpenAILike", _OPENAI, False, "llama", ("complete",), 1),
    Library(
        "llama-embedding", "llama_index.embeddings.openai", "OpenAIEmbedding", _OPENAI, False, "llama", ("embed",), 1
    ),
)

# A loading's way of delivery, and whether the client is given the key as an argument.
LOADINGS = {
    "implicit": ("env", False),
    "item": ("env", True),
    "getenv": ("env", True),
    "getenv-default": ("env", True),
    "imported": ("env", True),
    "either": ("env", True),
    "starlette": ("env", True),
    "copied": ("env", False),
    "pydantic": ("env", True),
    "environs": ("env", True),
    "decouple": ("env", True),
    "dynaconf": ("env", True),
    "dotenv": ("dotenv", False),
    "dotenv-item": ("dotenv", True),
    "dotenv-values": ("dotenv", True),
    "pydantic-dotenv": ("dotenv", True),
    "environs-dotenv": ("dotenv", True),
    "decouple-dotenv": ("dotenv", True),
    "starlette-dotenv": ("dotenv", True),
    "file": ("file", True),
    "file-environ": ("file", False),
    "file-shell": ("file", False),
    "pydantic-secrets": ("file", True),
    "any": ("several", True),
    "dotenv-too": ("several", False),
}
NEEDS = {
    "pydantic": "pydantic_settings",
    "pydantic-dotenv": "pydantic_settings",
    "pydantic-secrets": "pydantic_settings",
    "environs": "environs",
    "environs-dotenv": "environs",
    "decouple": "decouple",
    "decouple-dotenv": "decouple",
    "dynaconf": "dynaconf",
}
TIMINGS = (
    "import",
    "cache",
    "lazy-global",
    "per-request",
    "service",
    "cached-property",
    "factory",
    "lifespan",
    "depends",
    "extension",
    "thread",
    "background",
    "process-pool",
    "post-fork",
    "with-options",
    "subclass",
    "module",
    "settings",
    "decorator",
    "partial",
    "context",
    "default-factory",
)
DOTENV_CALLS = ("bare", "find", "beside", "string", "override", "cwd")
EXTRAS = (
    "masked-log",
    "pop-after",
    "max-requests",
    "second-client",
    "warm-up",
    "checked",
    "base-argument",
    "quiet-log",
    "multi-line",
    "create-app",
    "idle-dotenv",
)


@dataclass(frozen=True)
class Able:
    """What the machine has: optional packages, whether we are root, and whether others may run this interpreter."""

    packages: frozenset[str]
    root: bool
    shared: bool = True

    @classmethod
    def here(cls) -> Able:
        """This machine."""
        found = frozenset(name for name in set(NEEDS.values()) if importlib.util.find_spec(name))
        library = Path(os.__file__).resolve()
        shared = all(folder.stat().st_mode & stat.S_IXOTH for folder in library.parents)
        return cls(found, os.geteuid() == 0, shared)


@dataclass(frozen=True)
class Choices:
    """One app, undrawn. ``variable`` bears the key, ``path`` is the delivered file's; ``home`` says where it is read."""

    server: Server
    framework: str
    layout: str
    library: Library
    call: str
    timing: str
    loading: str
    variable: str
    path: str
    home: str
    prelude: str
    dotenv_call: str
    launch: str
    intercept: bool
    words: names.Names
    extras: frozenset[str] = field(default_factory=frozenset)

    @property
    def delivery(self) -> str:
        """``env``, ``dotenv``, ``file`` or ``several``."""
        return LOADINGS[self.loading][0]

    @property
    def argument(self) -> bool:
        """Whether the client is given the key."""
        return LOADINGS[self.loading][1]

    @property
    def modules(self) -> bool:
        """Whether client and entry are modules of their own."""
        return self.layout != "single"

    @property
    def eager(self) -> bool:
        """Whether the client is built while its module is imported."""
        return self.timing in (
            "import", "service", "with-options", "subclass", "module", "settings", "partial", "default-factory"
        )  # fmt: skip


def pick(rng: Random, able: Able) -> Choices:
    """Choices that go together."""
    library = rng.choices(LIBRARIES, [each.weight for each in LIBRARIES])[0]
    server = _server(rng, library)
    framework = rng.choice(
        {
            "wsgi": ["flask", "flask", "wsgi"],
            "asgi": ["fastapi", "fastapi", "starlette", "asgi"],
            "raw": ["http.server"],
        }[server.kind]
        if server.name != "flask-dev"
        else ["flask"]
    )
    layout = rng.choice(("single", "modules", "modules", "package", "src"))
    timing = rng.choice([each for each in TIMINGS if _timing_fits(each, library, server, framework)])
    loading = rng.choice([each for each in LOADINGS if _loading_fits(each, able, library, timing)])
    way = "dotenv" if loading == "dotenv-too" else LOADINGS[loading][0]
    variable = library.variable
    free = loading not in ("implicit", "dotenv", "file-environ", "file-shell", "any", "dotenv-too", "pydantic-secrets")
    if loading == "copied" or (free and rng.random() < 0.3):
        variable = rng.choice(names.VARIABLES)
    path = {"env": [""], "dotenv": [".env"] * 3 + ["config/.env", ".env.prod"]}.get(
        way, ["secrets/openai_api_key", "/run/secrets/openai_key", "/etc/app/api_key"]
    )
    home = rng.choice(("inline", "constant", "function"))
    extras = frozenset(each for each in EXTRAS if rng.random() < 0.15)
    launch = "shell-export" if loading == "file-shell" else rng.choice(["direct"] * 4 + ["shell", "python"])
    chosen = Choices(
        server=server,
        framework=framework,
        layout=layout,
        library=library,
        call=rng.choice(library.calls),
        timing=timing,
        loading=loading,
        variable=variable,
        path=f"secrets/{variable.lower()}" if loading == "pydantic-secrets" else rng.choice(path),
        home=home,
        # A hook of gunicorn imports the client's module first, so there the key has to be loaded in it.
        prelude=rng.choice(("config", "client") if timing == "post-fork" else ("entry", "entry", "config", "client")),
        dotenv_call=rng.choice(DOTENV_CALLS),
        launch=launch,
        intercept=library.name != "llama-like" and rng.random() < 0.15,
        words=names.pick(rng),
        extras=extras,
    )
    return chosen


def _server(rng: Random, library: Library) -> Server:
    # LlamaIndex takes seconds to import, so it is mostly imported once for all workers.
    cheap = library.family == "bare" or rng.random() < 0.1
    fitting = [each for each in SERVERS if cheap or each.forks in ("preload", "single", "prefork")]
    return rng.choices(fitting, [each.weight for each in fitting])[0]


def _timing_fits(timing: str, library: Library, server: Server, framework: str) -> bool:
    if timing == "module":
        return library.name == "openai"
    if timing in ("with-options", "context"):
        return library.family == "bare"
    if timing == "subclass":
        return True
    if timing == "settings":
        return library.family == "llama"
    if timing == "lifespan":
        return framework in ("fastapi", "starlette")
    if timing == "depends":
        return framework == "fastapi"
    if timing == "extension":
        return framework == "flask"
    if timing in ("thread", "background"):
        return not library.is_async
    if timing == "process-pool":
        # What is forked in a thread of a server in threads may find a lock that nobody will open.
        return not library.is_async and server.name in ("gunicorn-sync", "gunicorn-preload", "prefork")
    if timing == "post-fork":
        return server.gunicorn
    return True


def _loading_fits(loading: str, able: Able, library: Library, timing: str) -> bool:
    if loading in NEEDS and NEEDS[loading] not in able.packages:
        return False
    if timing == "module":
        return LOADINGS[loading][1]
    if library.name == "llama-like":
        return LOADINGS[loading][1]
    return True
