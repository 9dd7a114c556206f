"""``POST /embeddings`` (platform.openai.com/docs/api-reference/embeddings)."""

from __future__ import annotations

import base64
import math
import struct
from hashlib import shake_256
from typing import Any

from pytest_llamakey.endpoint.api.asked import Asked, tokens
from pytest_llamakey.endpoint.api.errors import invalid_type, openai_error
from pytest_llamakey.endpoint.api.reply import Reply, json_reply

_DIMENSIONS = {"text-embedding-3-large": 3072}
_USUAL_DIMENSIONS = 1536
_MOST_DIMENSIONS = 8192


def answer(asked: Asked) -> Reply:
    """For each input a unit vector that depends on nothing but the input and its length."""
    model = asked.model
    inputs = _inputs(asked)
    dimensions = asked.body.get("dimensions") or _DIMENSIONS.get(model, _USUAL_DIMENSIONS)
    if not isinstance(dimensions, int) or not 1 <= dimensions <= _MOST_DIMENSIONS:
        raise invalid_type("dimensions", f"an integer between 1 and {_MOST_DIMENSIONS}")
    encoded = asked.body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": number, "embedding": _encoded(vector) if encoded else vector}
        for number, vector in enumerate(embedding(each, dimensions) for each in inputs)
    ]
    used = sum(tokens(each) for each in inputs)
    usage = {"prompt_tokens": used, "total_tokens": used}
    return json_reply(200, {"object": "list", "data": data, "model": model, "usage": usage})


def embedding(text: str, dimensions: int) -> list[float]:
    """The unit vector of ``text``: the same on every machine, and another for every other text."""
    numbers = struct.unpack(f"<{dimensions}i", shake_256(text.encode("utf-8", "replace")).digest(4 * dimensions))
    length = math.hypot(*numbers) or 1.0
    return [number / length for number in numbers]


def _encoded(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _inputs(asked: Asked) -> list[str]:
    """Each input as text; token numbers are as good as a text of them."""
    given: Any = asked.required("input", (str, list), "a string or an array")
    if isinstance(given, str):
        return [given]
    if not given:
        message = (
            "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference."
        )
        raise openai_error(400, message)
    if isinstance(given[0], int):
        return [str(given)]
    return [each if isinstance(each, str) else str(each) for each in given]
