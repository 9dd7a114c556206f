"""What goes to the mock goes there directly: a proxy that the app is given in production knows no way to it."""

from pytest_llamakey.probe.agent.base import MOCK, PORT, TLS_PORT, peek, quiet, wrap


@quiet
def past_proxy(pool, origin):
    """A connection to the mock that passes by this pool's proxy; ``None`` where the pool makes it as it is."""
    host = origin.host.decode("ascii")
    if host != MOCK or origin.port not in (PORT, TLS_PORT):
        return None
    # Pools with a proxy are of a class that derives from the pools without; newer ones have it as `_proxy` as well.
    plain = next(each for each in reversed(type(pool).__mro__) if "create_connection" in vars(each))
    if type(pool) is plain and peek(pool, "_proxy") is None:
        return None
    bare = object.__new__(plain)  # type: ignore[var-annotated]
    bare.__dict__.update(pool.__dict__, _proxy=None)
    return bare.create_connection(origin)


def around_connection(original):
    def create_connection(self, origin):
        direct = past_proxy(self, origin)
        return original(self, origin) if direct is None else direct

    return create_connection


def hook_httpcore(module):
    for kind in ("ConnectionPool", "HTTPProxy", "SOCKSProxy"):
        for name in (kind, "Async" + kind):
            wrap(getattr(module, name), "create_connection", around_connection)
