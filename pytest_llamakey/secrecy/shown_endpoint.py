"""The mocked endpoint as a user's test sees it: with no key in it that is not one of ours."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_llamakey.secrecy.masked import for_a_test, header_for_a_test

if TYPE_CHECKING:
    import respx

    from pytest_llamakey.endpoint.calls import ReceivedCall
    from pytest_llamakey.secrecy.keys import Secrets
    from pytest_llamakey.station import Station

_CREDENTIALS = frozenset({"authorization", "proxy-authorization", "api-key", "x-api-key", "cookie"})


def shown_call(call: ReceivedCall, secrets: Secrets) -> ReceivedCall:
    """``call`` with each foreign key in its headers and query as ``sk-…`` and a fingerprint.

    pytest prints what a failed assertion compared, so what a test may compare bears no such key.
    """
    headers = tuple(
        (name, header_for_a_test(value, secrets) if name in _CREDENTIALS else for_a_test(value, secrets))
        for name, value in call.headers
    )
    return replace(call, headers=headers, query=for_a_test(call.query, secrets))


class ShownEndpoint:
    """What a test may use of a station's endpoint."""

    def __init__(self, station: Station) -> None:
        self._station = station

    @property
    def url(self) -> str:
        """Its base URL, without ``/v1``."""
        return self._station.endpoint.url

    @property
    def router(self) -> respx.MockRouter:
        """Answers the calls; add or change routes with respx's own API."""
        return self._station.endpoint.router

    @property
    def calls(self) -> tuple[ReceivedCall, ...]:
        """Every call so far, in the order they were answered."""
        return tuple(shown_call(call, self._station.secrets) for call in self._station.endpoint.calls)
