"""Errors in the very shape and words of OpenAI and Azure OpenAI.

Sources: OpenAI's error codes guide (platform.openai.com/docs/guides/error-codes) and bodies as users report them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_llamakey.endpoint.api.reply import Reply, json_reply

if TYPE_CHECKING:
    from pytest_llamakey.endpoint.api.question import Question

CANARY_PREFIX = "sk-llamakey-"
"""Our own throwaway keys begin with this; of every other key nothing may be shown."""

MISSING_KEY = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
    "(i.e. Authorization: Bearer YOUR_KEY), or as the password field (with blank username) if you're accessing the "
    "API from your browser and are prompted for a username and password. You can obtain an API key from "
    "https://platform.openai.com/account/api-keys."
)
NOT_JSON = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library "
    "correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON. If you have trouble "
    "figuring out how to fix this, please contact us through our help center at help.openai.com.)"
)
AZURE_DENIED = (
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an "
    "active subscription and use a correct regional API endpoint for your resource."
)


class ApiError(Exception):
    """A request that the API refuses, with the status and the JSON body it answers."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body

    def reply(self) -> Reply:
        """The refusal as an answer."""
        return json_reply(self.status, self.body)


def openai_error(
    status: int,
    message: str,
    *,
    kind: str = "invalid_request_error",
    param: str | None = None,
    code: str | None = None,
) -> ApiError:
    """An error of OpenAI's shape."""
    return ApiError(status, {"error": {"message": message, "type": kind, "param": param, "code": code}})


def azure_error(status: int, message: str) -> ApiError:
    """An error of the shape of Azure's gateway."""
    return ApiError(status, {"error": {"code": str(status), "message": message}})


def redacted(key: str) -> str:
    """``key`` as OpenAI repeats it: the first eight and the last four characters.

    Only for our own keys: of any other, which might be a real one, neither a character nor the length is repeated.
    """
    if key.startswith(CANARY_PREFIX):
        return f"{key[:8]}{'*' * max(len(key) - 12, 2)}{key[-4:]}"
    return ("sk-" if key.startswith("sk-") else "") + "*" * 8


def wrong_key(key: str) -> ApiError:
    """OpenAI's answer to a key it does not know."""
    message = (
        f"Incorrect API key provided: {redacted(key)}. "
        "You can find your API key at https://platform.openai.com/account/api-keys."
    )
    return openai_error(401, message, code="invalid_api_key")


def unknown_url(question: Question, *, other_method: bool) -> ApiError:
    """The answer to a path that does not exist, or (``other_method``) exists for other methods only."""
    if question.azure:
        return azure_error(404, "Resource not found")
    where = f"({question.method} {question.path})"
    if other_method:
        return openai_error(405, f"Invalid method for URL {where}", code="method_not_supported")
    return openai_error(404, f"Invalid URL {where}")


def missing_parameter(name: str) -> ApiError:
    """OpenAI's answer to a body that lacks a field it needs."""
    return openai_error(400, f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")


def invalid_type(name: str, expected: str) -> ApiError:
    """OpenAI's answer to a field of another type than it asks for."""
    message = f"Invalid type for '{name}': expected {expected}."
    return openai_error(400, message, param=name, code="invalid_type")
