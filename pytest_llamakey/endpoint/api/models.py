"""``GET /models`` and ``GET /models/NAME`` (platform.openai.com/docs/api-reference/models)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_llamakey.endpoint.api.errors import openai_error
from pytest_llamakey.endpoint.api.reply import Reply, json_reply

if TYPE_CHECKING:
    from pytest_llamakey.endpoint.api.asked import Asked

_CREATED = 1_700_000_000


def answer_list(asked: Asked) -> Reply:
    """Every model that the endpoint knows."""
    return json_reply(200, {"object": "list", "data": [_model(name) for name in asked.models]})


def answer_one(asked: Asked) -> Reply:
    """One model, or OpenAI's 404 for a name that is not known."""
    name = asked.path.partition("/models/")[2]
    if name not in asked.models:
        message = f"The model '{name}' does not exist"
        raise openai_error(404, message, param="model", code="model_not_found")
    return json_reply(200, _model(name))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": "system"}
