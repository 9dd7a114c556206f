"""The mocked OpenAI endpoint: a respx router (:mod:`routes`) served over real sockets (:mod:`server`)."""

from __future__ import annotations

from pytest_llamakey.endpoint.calls import ReceivedCall
from pytest_llamakey.endpoint.limits import Limits
from pytest_llamakey.endpoint.routes import openai_router
from pytest_llamakey.endpoint.server import Endpoint
from pytest_llamakey.endpoint.tls import Authority

__all__ = ["Authority", "Endpoint", "Limits", "ReceivedCall", "openai_router"]
