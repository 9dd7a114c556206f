"""Whether a call has the form of the provider that it is sent to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llamakey.hosts import AZURE_HOSTS, OPENAI_HOSTS, among

if TYPE_CHECKING:
    from pytest_llamakey.facts import Call, Facts, Process

AZURE_KEY = "AZURE_OPENAI_API_KEY"
_AZURE_PATH = "/openai/"
_DEPLOYMENT = "/openai/deployments/"
_REFUSED = (401, 404)


def mismatch(facts: Facts, process: Process | None, call: Call) -> str:
    """Why this call and its provider do not belong together, as a clause, or nothing.

    Azure's paths begin with ``/openai/`` and its header is ``api-key`` (or a token), OpenAI's are ``/v1/…`` and
    ``Authorization: Bearer KEY`` (learn.microsoft.com/azure/ai-services/openai/reference).
    """
    azure = call.path.startswith(_AZURE_PATH)
    if among(call.host, AZURE_HOSTS) and not azure:
        return "Azure is called in OpenAI's way"
    if among(call.host, OPENAI_HOSTS) and (azure or call.header == "api-key"):
        return "OpenAI is called in Azure's way"
    if call.header == "api-key" and not azure:
        return "Azure's header is sent to OpenAI's interface"
    if call.path.startswith(_DEPLOYMENT) and call.header == "authorization" and call.status in _REFUSED:
        return "a deployment of Azure is called in OpenAI's way, without api-version"
    if process is not None and not azure and _at_azure_endpoint(process, call):
        return "AZURE_OPENAI_ENDPOINT is called in OpenAI's way"
    if not azure and call.key.state == "match" and _only_azure_key(facts):
        return f"the key of {AZURE_KEY} is sent to OpenAI's interface"
    return ""


def _at_azure_endpoint(process: Process, call: Call) -> bool:
    """Whether the call goes below AZURE_OPENAI_ENDPOINT, and below no base that is meant for OpenAI's interface.

    One host may offer both interfaces, as a gateway does, and the mocked endpoint.
    """
    endpoint = _base(process, "AZURE_OPENAI_ENDPOINT")
    if not endpoint or call.path.startswith("/v1/") or not f"{call.host}{call.path}".startswith(f"{endpoint}/"):
        return False
    bases = (_base(process, name) for name in ("OPENAI_API_BASE", "OPENAI_BASE_URL"))
    return not any(base and f"{call.host}{call.path}".startswith(f"{base}/") for base in bases)


def _base(process: Process, name: str) -> str:
    sight = process.environment.get(name)
    return sight.shown.partition("://")[2].rstrip("/") if sight else ""


def _only_azure_key(facts: Facts) -> bool:
    """Whether the one key that is delivered is named as Azure's."""
    names = {delivery.removeprefix("env:") for delivery in facts.deployment.delivered if delivery.startswith("env:")}
    return names == {AZURE_KEY} and len(facts.deployment.delivered) == 1
