"""No name of a provider leads to the provider."""

from pytest_llamakey.probe.agent.base import CONFIG, MOCK, PORT, TLS_PORT, quiet, resolve_host
from pytest_llamakey.probe.agent.calls import is_provider


def turned(host, port):
    """``host, port``, or the mock's where ``host`` is a provider's."""
    name = host.decode("ascii", "replace") if isinstance(host, (bytes, bytearray)) else host
    if not isinstance(name, str) or not is_provider(name.lower().rstrip(".")):
        return host, port
    if port in (443, "443", b"443", "https"):
        return MOCK, TLS_PORT or port
    return MOCK, PORT if port in (80, "80", b"80", "http") else port


def getaddrinfo(host, port, *args, **kwargs):
    host, port = turned(host, port)
    return resolve_host(host, port, *args, **kwargs)


def by_name(original):
    def resolve(host):
        return original(turned(host, None)[0])

    return resolve


def hook_uvloop(module):
    """It resolves names in C, below ``socket``."""
    loop = module.Loop

    async def resolve(self, host, port, **kwargs):
        host, port = turned(host, port)
        return await super(loop, self).getaddrinfo(host, port, **kwargs)

    async def create_connection(self, protocol_factory, host=None, port=None, **kwargs):
        there, port = turned(host, port)
        if there is not host and kwargs.get("ssl") and kwargs.get("server_hostname") is None:
            kwargs["server_hostname"] = host
        return await super(loop, self).create_connection(protocol_factory, there, port, **kwargs)

    loop.getaddrinfo, loop.create_connection = resolve, create_connection


def hook_ssl(module):
    """Client contexts that trust the public authorities trust the mock's throwaway one as well."""
    authority = CONFIG["ca_pem"]
    add = module.SSLContext.load_verify_locations
    load = module.SSLContext.load_default_certs
    server = module.PROTOCOL_TLS_SERVER

    @quiet
    def trust(context):
        if authority and context.protocol != server and not hasattr(context, "_llamakey"):
            add(context, cadata=authority)
            context._llamakey = True

    def load_verify_locations(self, cafile=None, capath=None, cadata=None):
        add(self, cafile=cafile, capath=capath, cadata=cadata)
        trust(self)

    def load_default_certs(self, purpose=module.Purpose.SERVER_AUTH):
        load(self, purpose)
        trust(self)

    load_verify_locations.__doc__, load_default_certs.__doc__ = add.__doc__, load.__doc__
    module.SSLContext.load_verify_locations = load_verify_locations
    module.SSLContext.load_default_certs = load_default_certs
