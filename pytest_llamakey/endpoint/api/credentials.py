"""The credential header that each provider asks for.

OpenAI: ``Authorization: Bearer KEY`` (platform.openai.com/docs/api-reference/authentication). Azure OpenAI: ``api-key:
KEY``, or a Bearer token, as Microsoft Entra ID issues them (learn.microsoft.com/azure/ai-services/openai/reference).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llamakey.endpoint.api.errors import (
    AZURE_DENIED,
    MISSING_KEY,
    azure_error,
    openai_error,
    wrong_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_llamakey.endpoint.api.question import Question


def bearer(question: Question) -> str:
    """The token after an exact ``Bearer`` and one blank, or ``""``; whatever else stands there is part of the token."""
    scheme, _, token = question.authorization.partition(" ")
    return token if scheme == "Bearer" else ""


def require_credential(question: Question, accepts: Callable[[str], bool]) -> None:
    """Raise the provider's own 401 unless ``question`` bears a key that ``accepts`` takes."""
    if question.azure:
        key = question.api_key or bearer(question)
        if not key or not accepts(key):
            raise azure_error(401, AZURE_DENIED)
        return
    key = bearer(question)
    if not key:
        raise openai_error(401, MISSING_KEY)
    if not accepts(key):
        raise wrong_key(key)
