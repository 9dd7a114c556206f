"""What a call asks for, read leniently from its path and JSON body, and refused as OpenAI does where it cannot be."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from pytest_llamakey.endpoint.api.errors import (
    NOT_JSON,
    azure_error,
    invalid_type,
    missing_parameter,
    openai_error,
)
from pytest_llamakey.endpoint.api.sample import sample

if TYPE_CHECKING:
    from pytest_llamakey.endpoint.api.question import Question

_AZURE_DEPLOYMENT = re.compile(r"^/openai/deployments/([^/]+)/")


@dataclass(frozen=True)
class Tool:
    """A function that the model is told to call; ``arguments`` is JSON that fits the function's schema."""

    name: str
    arguments: str
    call_id: str


class Asked:
    """One call of the API.

    Attributes:
        models: the model names that the endpoint was told to know.
    """

    def __init__(self, question: Question, models: tuple[str, ...] = ()) -> None:
        self._question = question
        self.models = models
        found = _AZURE_DEPLOYMENT.match(question.path)
        self.deployment = found[1] if found else ""
        if self.deployment and not question.versioned:
            raise azure_error(404, "Resource not found")

    @property
    def path(self) -> str:
        """The path, with percent-encoding undone."""
        return self._question.path

    @cached_property
    def body(self) -> Mapping[str, Any]:
        """The JSON object of the body; a 400 :class:`ApiError` where there is none."""
        try:
            body = json.loads(self._question.content)
        except ValueError:
            raise openai_error(400, NOT_JSON) from None
        if not isinstance(body, dict):
            raise openai_error(400, NOT_JSON)
        return body

    @cached_property
    def model(self) -> str:
        """The model, by name or by Azure's deployment."""
        model = self.body.get("model") or self.deployment
        if not model:
            raise openai_error(400, "you must provide a model parameter")
        if not isinstance(model, str):
            raise invalid_type("model", "a string")
        return model

    @property
    def stream(self) -> bool:
        """Whether the answer is to come as server-sent events."""
        return self.body.get("stream") is True

    @cached_property
    def id(self) -> str:
        """The same for the same call: a digest of its body."""
        return blake2b(self._question.content, digest_size=12).hexdigest()

    @cached_property
    def now(self) -> int:
        """When the call was answered, in whole seconds since the epoch."""
        return int(time.time())

    def required(self, name: str, kind: type | tuple[type, ...], expected: str) -> Any:
        """Field ``name`` of the body; a 400 where it is missing or not of type ``kind`` (``expected`` in words)."""
        value = self.body.get(name)
        if value is None:
            raise missing_parameter(name)
        if not isinstance(value, kind):
            raise invalid_type(name, expected)
        return value

    def count(self, name: str) -> int:
        """Field ``name`` as a number of answers between 1 and 128; 1 where it is not given."""
        value = self.body.get(name) or 1
        if not isinstance(value, int) or not 1 <= value <= 128:  # noqa: PLR2004 - the API's own limit for n
            raise invalid_type(name, "an integer between 1 and 128")
        return value

    @cached_property
    def tool(self) -> Tool | None:
        """The function that ``tool_choice`` tells the model to call, or ``None`` where it is left free."""
        functions = [
            tool.get("function", tool)
            for tool in self.body.get("tools") or ()
            if isinstance(tool, dict) and tool.get("type", "function") == "function"
        ]
        choice = self.body.get("tool_choice")
        if choice == "required":
            name = None
        elif isinstance(choice, dict) and choice.get("type") == "function":
            name = choice.get("name") or (choice.get("function") or {}).get("name")
        else:
            return None
        for function in functions:
            if name is None or function.get("name") == name:
                arguments = sample(function.get("parameters") or {}, self.last_text)
                return Tool(str(function.get("name")), json.dumps(arguments), f"call_{self.id}")
        raise openai_error(400, "Tool choice 'function' not found in 'tools' parameter.", param="tool_choice")

    @cached_property
    def last_text(self) -> str:
        """What was said last: the text of the last message, of the input, or the prompt."""
        for name in ("messages", "input", "prompt"):
            said = self.body.get(name)
            if isinstance(said, list) and said and isinstance(said[-1], dict):
                last = said[-1]
                return text_of(last["content"] if "content" in last else last.get("output"))
            if said is not None:
                return text_of(said)
        return ""

    def text(self, output_format: Any) -> str:
        """The model's answer: an echo, or JSON where ``output_format`` asks for it."""
        kind = output_format.get("type") if isinstance(output_format, dict) else None
        if kind == "json_object":
            return json.dumps({"echo": self.last_text})
        if kind == "json_schema":
            # Chat nests the schema one level deeper than the responses API.
            schema = (output_format.get("json_schema") or output_format).get("schema")
            return json.dumps(sample(schema or {}, self.last_text))
        return f"You said: {self.last_text}"


def text_of(content: Any) -> str:
    """The text in a message's content: a string, or a list of parts of which some bear text."""
    if isinstance(content, str):
        return content
    if isinstance(content, Iterable) and not isinstance(content, Mapping):
        parts = (
            part if isinstance(part, str) else part.get("text") for part in content if isinstance(part, str | dict)
        )
        return " ".join(part for part in parts if isinstance(part, str))
    return ""


def tokens(text: str) -> int:
    """About as many tokens as ``text`` has; at least 1."""
    return max(1, len(text) // 4)


def pieces(text: str) -> list[str]:
    """``text`` as a stream of deltas: word by word, nothing lost."""
    return re.findall(r"\s*\S+|\s+$", text)
