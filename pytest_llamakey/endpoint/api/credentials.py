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
    is_azure,
    openai_error,
    wrong_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx


def bearer(request: httpx.Request) -> str:
    """The token after an exact ``Bearer`` and one blank, or ``""``; whatever else stands there is part of the token."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token if scheme == "Bearer" else ""


def require_credential(request: httpx.Request, accepts: Callable[[str], bool]) -> None:
    """Raise the provider's own 401 unless ``request`` bears a key that ``accepts`` takes."""
    if is_azure(request):
        key = request.headers.get("api-key") or bearer(request)
        if not key or not accepts(key):
            raise azure_error(401, AZURE_DENIED)
        return
    key = bearer(request)
    if not key:
        raise openai_error(401, MISSING_KEY)
    if not accepts(key):
        raise wrong_key(key)
