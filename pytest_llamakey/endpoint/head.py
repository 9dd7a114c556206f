"""The head of one request while it comes in, and what it must fulfil."""

from __future__ import annotations

import httptools


class Refusal(Exception):
    """A request that is answered by the server itself, after which the connection is closed."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


class Head:
    """Request line and headers; header names are in lower case."""

    def __init__(self) -> None:
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.method = ""
        self.version = ""
        self.keep_alive = False
        self.upgrades = False

    def header(self, name: bytes) -> bytes:
        """The first header of this name, or ``b""``."""
        for each, value in self.headers:
            if each == name:
                return value
        return b""

    @property
    def size(self) -> int:
        """About as many bytes as it took on the wire."""
        return len(self.target) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    @property
    def content_length(self) -> int:
        """The body's announced length, 0 where none is."""
        return int(self.header(b"content-length") or 0)  # llhttp lets nothing but digits pass

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for ``100 Continue`` before it sends the body (RFC 9110, section 10.1.1)."""
        return self.version == "1.1" and self.header(b"expect").lower() == b"100-continue"

    def framing(self) -> bytes:
        """The header lines that say where the body ends."""
        named = (b"content-length", b"transfer-encoding")
        return b"".join(b"%s: %s\r\n" % each for each in self.headers if each[0] in named)

    def check(self) -> None:
        """Raise a :class:`Refusal` for what the parser lets pass and this server does not serve."""
        if self.version not in {"1.0", "1.1"}:
            raise Refusal(505, f"HTTP/{self.version} is not spoken here, HTTP/1.1 is")
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (hosts == 0 and self.version == "1.1"):
            raise Refusal(400, f"A request needs exactly one Host header (RFC 9112, section 3.2), this one has {hosts}")
        if self.method == "CONNECT":
            raise Refusal(501, "This is not a proxy: CONNECT is not supported")

    def address(self, scheme: str) -> tuple[str, str, str, str]:
        """Scheme, host, path and query; a target in absolute form, as proxies get it, names the first two itself."""
        host = self.header(b"host").decode("latin-1")
        target = self.target
        if not target.startswith(b"/"):
            try:
                url = httptools.parse_url(target)
            except httptools.HttpParserInvalidURLError:
                return scheme, host, "/" + target.decode("latin-1"), ""
            scheme = (url.schema or b"").decode("latin-1") or scheme
            host = (url.host or b"").decode("latin-1") + (f":{url.port}" if url.port else "")
            target = (url.path or b"/") + (b"?" + url.query if url.query else b"")
        path, _, query = target.decode("latin-1").partition("?")
        return scheme, host, path, query
