"""The words that apps differ in."""

from __future__ import annotations

import keyword
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

PACKAGES = ("helpdesk", "assistant", "docsbot", "ragapi", "shopchat", "summariser", "backend", "qa_service", "copilot")
ENTRIES = ("main", "app", "server", "web", "api", "wsgi", "asgi", "service")
CLIENTS = ("llm", "client", "ai", "model", "provider", "chat", "gpt", "openai_client")
CONFIGS = ("config", "settings", "conf", "env", "core", "constants")
APPS = ("app", "application", "api")
CONSTANTS = ("API_KEY", "OPENAI_KEY", "KEY", "OPENAI_TOKEN", "LLM_API_KEY", "MODEL_KEY")
READERS = ("api_key", "get_api_key", "read_key", "load_key", "openai_key")
HOLDERS = ("client", "llm", "openai_client", "model", "ai", "gpt", "_client")
GETTERS = ("get_client", "client_for_app", "llm_client", "get_llm", "make_client", "build_client")
ANSWERS = ("answer", "ask_model", "reply_to", "summarise", "complete", "generate")
CLASSES = ("Assistant", "ChatService", "Summariser", "LLMService", "Responder", "Brain")
ROUTES = ("/ask", "/chat", "/api/answer", "/v1/summary", "/query", "/complete")
HEALTH = ("/health", "/healthz", "/ping", "/status", "/live")
FIELDS = ("q", "question", "prompt", "text", "message")
VARIABLES = ("LLM_API_KEY", "APP_OPENAI_KEY", "CHAT_API_KEY", "MY_OPENAI_API_KEY", "OPENAI_KEY", "MODEL_API_KEY")
COMPLAINTS = (
    'raise RuntimeError("no key for the model")',
    'raise ValueError("{name} is not set")',
    'raise SystemExit("Please set {name}.")',
    'raise SystemExit("No API key was configured")',
    'raise Exception("missing credentials")',
)
"""What an app does that finds no key; ``{name}`` is the variable's."""
MODELS = ("gpt-4o-mini", "gpt-4o", "gpt-4.1-mini", "gpt-4.1")


@dataclass(frozen=True)
class Names:
    """One app's words."""

    package: str
    entry: str
    client_module: str
    config_module: str
    app: str
    constant: str
    reader: str
    holder: str
    getter: str
    answer: str
    cls: str
    route: str
    health: str
    field: str
    model: str
    complaint: str


def pick(rng: Random) -> Names:
    """Words that do not collide in one app."""
    entry = rng.choice(ENTRIES)
    client_module = rng.choice([name for name in CLIENTS if name != entry])
    holder = rng.choice([name for name in HOLDERS if name != client_module])
    made = Names(
        package=rng.choice(PACKAGES),
        entry=entry,
        client_module=client_module,
        config_module=rng.choice([name for name in CONFIGS if name not in (entry, client_module)]),
        app=rng.choice(APPS),
        constant=rng.choice(CONSTANTS),
        reader=rng.choice(READERS),
        holder=holder,
        getter=rng.choice([name for name in GETTERS if name != holder]),
        answer=rng.choice(ANSWERS),
        cls=rng.choice(CLASSES),
        route=rng.choice(ROUTES),
        health=rng.choice(HEALTH),
        field=rng.choice(FIELDS),
        model=rng.choice(MODELS),
        complaint=rng.choice(COMPLAINTS),
    )
    assert not any(map(keyword.iskeyword, (made.holder, made.getter)))  # noqa: S101 - they are written as names
    return made
