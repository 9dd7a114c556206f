"""A throwaway certificate authority that has a certificate for every host a client asks for."""

from __future__ import annotations

import ssl
from threading import Lock
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from collections.abc import Iterable

PROVIDERS = ("api.openai.com", "*.openai.azure.com", "localhost", "127.0.0.1", "::1")
"""What the certificate holds for that is shown to clients that name no host, as those that dial an IP address do."""


class Authority:
    """Signs certificates for the mocked endpoint; its key lives in this object only.

    Attributes:
        ca_pem: the authority's own certificate, for clients to trust.
    """

    def __init__(self) -> None:
        self._ca = trustme.CA(organization_name="pytest-llamakey")
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._lock = Lock()
        self.ca_pem: bytes = self._ca.cert_pem.bytes()

    def server_context(self, names: Iterable[str] = ()) -> ssl.SSLContext:
        """A server's context that shows each client a certificate for the host it asks for (SNI, RFC 6066 section 3).

        Clients that ask for none get one for the providers, this machine and ``names`` (host names or IP addresses).
        """
        context = self._issue(*dict.fromkeys((*PROVIDERS, *names)))
        context.sni_callback = self._choose
        return context

    def _choose(self, connection: ssl.SSLObject, name: str | None, _first: ssl.SSLContext) -> int | None:
        if name is None:
            return None
        try:
            connection.context = self._for_host(name)
        except ValueError:  # trustme: not a host name that a certificate can bear
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        return None

    def _for_host(self, name: str) -> ssl.SSLContext:
        with self._lock:
            if name not in self._contexts:
                self._contexts[name] = self._issue(name)
            return self._contexts[name]

    def _issue(self, *names: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        self._ca.issue_cert(*names).configure_cert(context)
        return context
