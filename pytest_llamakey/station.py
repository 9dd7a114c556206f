"""The mocked endpoint and the probe's listener on one port, around one key: what one deployment is measured with."""

from __future__ import annotations

import concurrent.futures
import contextlib
import errno
import posixpath
from dataclasses import replace
from typing import TYPE_CHECKING

import psutil

from pytest_llamakey.endpoint.routes import openai_router
from pytest_llamakey.endpoint.server import Endpoint
from pytest_llamakey.probe.listener import Listener
from pytest_llamakey.probe.render import AgentConfig, render_agent
from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.secrecy.delivery import INTERCEPTED, PROVIDER_HOSTS, PROVIDER_PATTERNS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from pytest_llamakey.endpoint.tls import Authority
    from pytest_llamakey.secrecy.delivery import Delivery
    from pytest_llamakey.secrecy.keys import Secrets
    from pytest_llamakey.spec.model import Deployment

UPGRADE = "llamakey-probe"


class Station:
    """A running endpoint with its listener; a context manager that closes both.

    ``origin`` is the moment (:func:`clock.now`) from which the listener counts seconds.
    """

    def __init__(self, secrets: Secrets, authority: Authority, listen: Sequence[str], *, refuses: bool = False) -> None:
        """``refuses``: the endpoint takes no key at all, the delivered one neither."""
        self.secrets = secrets
        self.listener = Listener(secrets.signing)
        self.origin = self.listener.origin
        self.endpoint = Endpoint(
            openai_router(lambda key: key == self.secrets.canary and not refuses),
            listen=listen,
            tls=authority,
            upgrades={UPGRADE: self.listener.protocol},
        )

    def __enter__(self) -> Station:  # noqa: PYI034 - Self is not in Python 3.10
        """Raises :class:`RuntimeFault` where it cannot listen."""
        with _told():
            self.endpoint.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.endpoint.close()

    def listen_also(self, address: str) -> None:
        """Be reached at a further address of this machine; raises :class:`RuntimeFault` where that cannot be had."""
        with _told():
            self.endpoint.listen_also(address)

    def rotate(self, canary: str) -> None:
        """From now on ``canary`` is the delivered key, and the endpoint takes no other."""
        self.secrets = replace(self.secrets, canary=canary, earlier=(self.secrets.canary, *self.secrets.earlier))

    @property
    def ports(self) -> tuple[int, ...]:
        """The endpoint's ports on this machine, plain and TLS."""
        return tuple(filter(None, (self.endpoint.port, self.endpoint.tls_port)))

    def url(self, dial: str) -> str:
        """The endpoint's base URL for an app that reaches this machine as ``dial``, without ``/v1``."""
        return f"http://{dial}:{self.endpoint.port}"

    def hosts(self, deployment: Deployment, dial: str) -> tuple[str, ...]:
        """The hosts that this deployment's calls are meant for; ``*`` stands for one label or more."""
        own = (f"{dial}:{self.endpoint.port}",)
        return own if deployment.endpoint == "env" else (*own, *INTERCEPTED)

    def agent(self, deployment: Deployment, dial: str, delivery: Delivery) -> Callable[[str, str], str] | None:
        """Renders the probe's file for one replica and its app's folder; ``None`` where no probe is wanted."""
        if not deployment.probe:
            return None

        def render(replica: str, workdir: str) -> str:
            return render_agent(
                AgentConfig(
                    host=dial,
                    port=self.endpoint.port,
                    tls_port=self.endpoint.tls_port or 0,
                    secret=self.secrets.signing.hex(),
                    salt=self.secrets.salt.hex(),
                    replica=replica,
                    canary=self.secrets.canary,
                    earlier=self.secrets.earlier,
                    names=delivery.names,
                    files=_places(deployment, delivery, workdir),
                    providers=(*PROVIDER_HOSTS, *PROVIDER_PATTERNS),
                    own_hosts=(*(service.name for service in deployment.services), *delivery.beside),
                    workdir=workdir,
                    redirect=True,
                    intercept=deployment.endpoint == "intercept",
                    ca_pem=self.endpoint.ca_pem.decode(),
                    outside=_around_the_app() if deployment.runtime == "process" else (),
                )
            )

        return render


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except concurrent.futures.TimeoutError as fault:  # an OSError from Python 3.11 on only
        raise RuntimeFault("The mocked endpoint did not start to listen in time.") from fault
    except OSError as fault:
        gone = " This machine has no such address any more: run it again." if fault.errno == errno.EADDRNOTAVAIL else ""
        said = fault.strerror or str(fault)
        raise RuntimeFault(f"{said[:1].upper()}{said[1:]}.{gone}") from fault


def _around_the_app() -> tuple[int, ...]:
    """The ids of this process and those above: they hold the tester's own keys, and one is the parent of orphans."""
    here = psutil.Process()
    return (here.pid, *(each.pid for each in here.parents()))


def _places(deployment: Deployment, delivery: Delivery, workdir: str) -> dict[str, str]:
    """Where the delivered files lie for processes of the app in ``workdir``, by the path that the user wrote."""
    root, mounts = "", dict[str, str]()
    if deployment.runtime == "compose":
        from pytest_llamakey.lines.compose_sources import mounted

        mounts = mounted(deployment)
    if deployment.runtime == "process":  # a folder stands for ``/`` there
        from pytest_llamakey.runtimes.process_copy import DEFAULT_WORKDIR

        root = workdir.removesuffix(posixpath.normpath(posixpath.join("/", deployment.workdir or DEFAULT_WORKDIR)))
    paths = [way.removeprefix("file:") for way in delivery.arrivals if way.startswith("file:")]
    return {path: path for path in paths} | {
        file.path: mounts.get(posixpath.normpath(file.path))
        or posixpath.normpath(f"{root}{file.path}" if file.path[:1] == "/" else f"{workdir}/{file.path}")
        for file in delivery.files
    }
