"""What the deployments of one pytest process share: the engine, built images, the certificate authority, the reaper."""

from __future__ import annotations

import contextlib
import importlib
import uuid
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_llamakey.endpoint.tls import Authority
from pytest_llamakey.lines.sources import sources
from pytest_llamakey.live import LiveDeployment
from pytest_llamakey.reaper import Reaper
from pytest_llamakey.runtimes.base import Plan, Progress, RuntimeFault
from pytest_llamakey.runtimes.process_port import free_port
from pytest_llamakey.runtimes.service_ports import addresses, with_ports
from pytest_llamakey.secrecy.delivery import PROVIDER_HOSTS, deliver
from pytest_llamakey.secrecy.keys import Secrets
from pytest_llamakey.secrecy.masked import quoted
from pytest_llamakey.seen import Setting
from pytest_llamakey.spec import keywords, manifest_choice
from pytest_llamakey.spec.model import runs_elsewhere
from pytest_llamakey.spec.placeholders import fill, uses_port_placeholder
from pytest_llamakey.station import Station
from pytest_llamakey.yardstick import References

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from pytest_llamakey.options import Options
    from pytest_llamakey.runtimes.base import Reach, Runtime
    from pytest_llamakey.spec.model import Defaults, Deployment

RUNTIMES: Mapping[str, str] = {
    "docker": "pytest_llamakey.runtimes.docker:DockerRuntime",
    "kubernetes": "pytest_llamakey.runtimes.kubernetes:KubernetesRuntime",
    "process": "pytest_llamakey.runtimes.process:ProcessRuntime",
    "compose": "pytest_llamakey.runtimes.compose:ComposeRuntime",
    "systemd": "pytest_llamakey.runtimes.systemd:SystemdRuntime",
}
"""The runtimes by name: module and class, imported when a deployment wants it; each is made with the reaper."""


@dataclass(frozen=True)
class Choice:
    """A deployment with the runtime that will run it, and a warning where that is not the one it names."""

    deployment: Deployment
    runtime: Runtime
    reach: Reach
    warning: str = ""


class Workshop:
    """Starts deployments, and ends whatever it started when it is closed."""

    def __init__(self, options: Options, defaults: Defaults, root: Path, run: str, *, verbose: bool = False) -> None:
        """``run`` names the run, and is the same in all processes that share its image builds."""
        self.options, self.defaults, self.root = options, defaults, root
        self._run, self._verbose = run, verbose
        self._reaper = Reaper(self.run_id)
        self._runtimes: dict[str, Runtime] = {}
        self._warned: set[str] = set()
        self._references = References(self._reaper, self.authority)

    @cached_property
    def run_id(self) -> str:
        """Names this process's share of the run; what it starts is labelled with it."""
        return f"{self._run}-{uuid.uuid4().hex[:8]}"

    @cached_property
    def authority(self) -> Authority:
        """The throwaway authority behind the mock's certificates."""
        return Authority()

    def close(self) -> None:
        """End and remove everything that is still there."""
        self._references.close()
        for runtime in self._runtimes.values():
            runtime.close()
        self._reaper.close()

    def choose(self, deployment: Deployment) -> Choice:
        """The runtime for ``deployment``, as the options and the machine have it.

        Raises:
            RuntimeFault: it cannot be run here, with what to start or to add.
        """
        wanted = self.options.runtime
        if wanted == "auto" and deployment.runtime == "docker":
            try:
                return self._choice(deployment)
            except RuntimeFault as fault:
                if not deployment.command or deployment.only_in:
                    raise
                where = f"{deployment.id} runs as plain processes instead of containers"
                other = self._choice(keywords.apply(deployment, self.root, runtime="process"))
                return replace(other, warning=f"{where}: {fault}")
        if elsewhere := runs_elsewhere(deployment, wanted):
            raise RuntimeFault(elsewhere)
        if wanted == "docker" and deployment.runtime == "process":
            build = deployment.build or "."
            if not deployment.image and not (deployment.folder / build / deployment.dockerfile).is_file():
                raise RuntimeFault(
                    f"{deployment.id} has no image and no {deployment.dockerfile} in {deployment.folder / build}, "
                    "so it cannot run in docker: add one, or leave out --llamakey-runtime docker"
                )
            return self._choice(keywords.apply(deployment, self.root, runtime="docker"))
        if wanted == "process" and not deployment.command:
            raise RuntimeFault(
                f'{deployment.id} has no command, so it cannot run as a plain process: add command = ["…"] to '
                f"{deployment.origin('name') or 'its llamakey.toml'}, leave out --llamakey-runtime process, or have "
                f'it skipped there: only_in = "{deployment.runtime}"'
            )
        # `docker` asks for containers: deployments that bring their own way of starting them stay as they are.
        if wanted in ("auto", "docker", deployment.runtime):
            return self._choice(deployment)
        return self._choice(keywords.apply(deployment, self.root, runtime=wanted))

    def _choice(self, deployment: Deployment) -> Choice:
        if deployment.runtime == "kubernetes":
            deployment = manifest_choice.with_key(deployment)
        runtime = self._runtime(deployment.runtime)
        return Choice(deployment, runtime, runtime.reach())

    def _runtime(self, name: str) -> Runtime:
        if name not in self._runtimes:
            module, _, made = RUNTIMES[name].partition(":")
            self._runtimes[name] = getattr(importlib.import_module(module), made)(self._reaper)
        return self._runtimes[name]

    @contextlib.contextmanager
    def station(
        self, canary: str | None = None, *, earlier: tuple[str, ...] = (), refuses: bool = False
    ) -> Iterator[Station]:
        """A fresh endpoint and listener around ``canary`` or a fresh key, closed on leaving.

        ``earlier`` are keys of deployments before; an endpoint that ``refuses`` takes no key at all.
        """
        secrets = replace(Secrets.fresh(canary), earlier=earlier)
        with Station(secrets, self.authority, ("127.0.0.1",), refuses=refuses) as station:
            yield station

    def start(
        self,
        choice: Choice,
        station: Station,
        progress: Progress,
        *,
        keyless: bool = False,
        after: LiveDeployment | None = None,
    ) -> LiveDeployment:
        """Start the chosen deployment, measured with ``station``, without waiting until it is ready.

        ``keyless``: no key is delivered. ``after`` is a halted deployment that this one takes the place of.

        Raises:
            RuntimeFault: it could not be started; nothing is left behind.
        """

        def tell(line: str) -> None:
            progress(quoted(line, station.secrets))  # a build step is quoted as its Dockerfile has it

        reach = self._reach(choice, after)
        station.listen_also(reach.listen)
        dial = reach.dial
        port = self._port(choice.deployment)
        deployment = with_ports(replace(choice.deployment, port=port))
        beside = addresses(deployment)
        deployment = fill(deployment, port=port, endpoint=station.url(dial), url=None, services=beside)
        delivery = deliver(deployment, None if keyless else station.secrets.canary, station.url(dial))
        plan = Plan(
            run_id=self.run_id,
            deployment=deployment,
            environment=delivery.environment,
            files=delivery.files,
            agent=station.agent(deployment, dial, delivery),
            hosts=PROVIDER_HOSTS,
            dial=dial,
            ca_pem=station.endpoint.ca_pem,
            may_keep=self.options.keep,
            verbose=self._verbose,
            progress=tell,
            build_args={**self.defaults.build_args, **deployment.build_args},
            after=after.running if after else None,
            boot=self.options.timeout,
            secrets=delivery.secrets,
            ports=station.ports,
            listen=station.listen_also,
            network=reach.network,
        )
        read = sources(deployment, self.root, station.secrets, plan.build_args)
        try:
            running = choice.runtime.start(plan)
        except RuntimeFault as fault:
            fault.args = (quoted(str(fault), station.secrets),)
            raise
        self._references.begin(delivery.environment)
        boot, references = self.options.timeout, self._references
        setting = Setting(deployment, station, delivery, dial, boot, references, tell, read, self._reaper)
        return LiveDeployment(running, setting)

    def _reach(self, choice: Choice, after: LiveDeployment | None) -> Reach:
        """How the deployment reaches the mock, which is all that it may reach with ``egress = "deny"``."""
        deployment = choice.deployment
        if deployment.egress == "allow":
            return choice.reach
        seclude: Any = getattr(choice.runtime, "seclude", None)
        if seclude is None:
            raise RuntimeFault(
                f'{deployment.origin("egress") or deployment.id}: egress = "deny" needs the docker or systemd runtime; '
                f"the {deployment.runtime} runtime cannot keep an app from the network. Leave it out there: the known "
                "providers' hosts lead to the mocked endpoint all the same."
            )
        former = getattr(after.running, "network", None) if after else None
        found: Reach = seclude(self.run_id, former, may_keep=self.options.keep)
        return found

    def _port(self, deployment: Deployment) -> int | None:
        if deployment.runtime == "process" and uses_port_placeholder(deployment):
            return free_port()
        if deployment.port is None and uses_port_placeholder(deployment):
            raise RuntimeFault(
                f"{deployment.id} uses {{port}}, and neither names a port nor has a Dockerfile that EXPOSEs just one: "
                f"add port = … to {deployment.origin('name') or 'its llamakey.toml'}"
            )
        return deployment.port

    def engine_version(self) -> str:
        """The container engine's version, or empty where none was used."""
        for runtime in self._runtimes.values():
            with contextlib.suppress(RuntimeFault):  # it does not answer (any more)
                if version := runtime.engine_version():
                    return version
        return ""

    def image(self, folder: str | Path, **fields: Any) -> str:
        """The id of the image built from ``folder``, built once a session for the same content.

        Raises:
            RuntimeFault: no engine answers, or the build failed.
            SpecError: ``folder`` has no Dockerfile.
        """
        deployment = keywords.target(folder, self.root, self.defaults, **fields)
        deployment = replace(deployment, runtime="docker", build=deployment.build or ".")
        build_args = {**self.defaults.build_args, **deployment.build_args}
        plan = Plan(run_id=self.run_id, deployment=deployment, environment={}, build_args=build_args)
        from pytest_llamakey.runtimes.docker import DockerRuntime

        runtime = self._runtime("docker")
        assert isinstance(runtime, DockerRuntime)  # noqa: S101 - for the type checker: that is what the name stands for
        return runtime.build(plan)

    def deploy(
        self, target: str | Path, fields: Mapping[str, Any], station: Station, warn: Callable[[str], object]
    ) -> LiveDeployment:
        """Start ``target`` with ``fields`` laid over what its file says; ``warn`` is told if it runs other than that.

        The same is told once, however often that is started.

        Raises:
            RuntimeFault: it could not be started.
            SpecError: a field that is not known or cannot be meant.
        """
        deployment = keywords.target(target, self.root, self.defaults, **fields)
        choice = self.choose(deployment)
        if choice.warning and choice.warning not in self._warned:
            self._warned.add(choice.warning)  # before it is told: -W error makes an exception of it
            warn(choice.warning)
        return self.start(choice, station, lambda _line: None)
