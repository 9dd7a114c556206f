"""Turns deployment files into pytest items: one per deployment and check."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llamakey.advice import CONFIG_NAME
from pytest_llamakey.spec import dockerfile, other, toml
from pytest_llamakey.spec.model import CheckName, Deployment, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pytest_llamakey.session import Session

OTHER_FILES = (
    "compose.yml",
    "compose.yaml",
    "docker-compose.yml",
    "docker-compose.yaml",
    "*.service",
    "*.yaml",
    "*.yml",
)


class CheckFailed(Exception):
    """A check that did not hold, or could not be judged; its text is what pytest shows for the item."""


def collector_for(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """The collector of ``path`` where it describes deployments.

    ``llamakey.toml`` always does, the root's ``pyproject.toml`` where it has the tables; a Dockerfile, compose file,
    manifest or unit does where it was named on the command line.
    """
    if path.name == CONFIG_NAME:
        return DeploymentFile.from_parent(parent, path=path)
    if path.name == "pyproject.toml" and path.parent == parent.config.rootpath:
        return DeploymentFile.from_parent(parent, path=path) if describes_deployments(path) else None
    if not parent.session.isinitpath(path):
        return None
    if fnmatch.fnmatch(path.name, "Dockerfile*") or any(fnmatch.fnmatch(path.name, each) for each in OTHER_FILES):
        return DeploymentFile.from_parent(parent, path=path)
    return None


def describes_deployments(pyproject: Path) -> bool:
    """Whether this ``pyproject.toml`` is worth reading: it may hold tables of ours."""
    try:
        return b"llamakey" in pyproject.read_bytes()
    except OSError:
        return False


def add_root(config: pytest.Config) -> None:
    """Have the root's ``pyproject.toml`` collected also where ``testpaths`` names folders without it.

    Paths that the tester named are left as they are.
    """
    pyproject = config.rootpath / "pyproject.toml"
    if config.args_source is not config.ArgsSource.TESTPATHS or not describes_deployments(pyproject):
        return
    above = {config.invocation_params.dir / argument for argument in config.args}
    if config.rootpath not in above:
        config.args.append(str(pyproject))


class DeploymentFile(pytest.File):
    """One file that describes deployments."""

    def collect(self) -> Iterable[DeploymentNode]:
        """One node per deployment; a mistake in the file is a collection error of this file alone."""
        try:
            for deployment in self._deployments():
                yield DeploymentNode.from_parent(self, name=deployment.name, deployment=deployment)
        except SpecError as error:
            raise self.CollectError(str(error)) from None

    def _deployments(self) -> tuple[Deployment, ...]:
        session: Session = _session(self.config)
        root = self.config.rootpath
        if self.path.suffix == ".toml":
            return toml.read_deployments(self.path, root, session.defaults)
        if self.path.name.startswith("Dockerfile"):
            named = toml.deployments_using(self.path, root, session.defaults)
            return named or (dockerfile.deployment_of(self.path, root, session.defaults),)
        return (other.deployment_of(self.path, root, session.defaults),)


class DeploymentNode(pytest.Collector):
    """One deployment: its children are its checks."""

    def __init__(self, *, deployment: Deployment, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.deployment = deployment

    def collect(self) -> Iterable[CheckItem]:
        """One item per check that is wanted."""
        for check in _session(self.config).options.checks or self.deployment.checks:
            yield CheckItem.from_parent(self, name=check, deployment=self.deployment, check=check)


class CheckItem(pytest.Item):
    """One check of one deployment. The first one to run boots the deployment, for all of its selected checks."""

    def __init__(self, *, deployment: Deployment, check: CheckName, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.deployment, self.check = deployment, check
        self.add_marker(pytest.mark.llamakey)
        # Left out below, their names select (-k) all the same.
        self.extra_keyword_matches |= {node.name for node in super().listchain() if isinstance(node, pytest.Package)}

    def listchain(self) -> list[Any]:
        """See :meth:`pytest.Item.listchain`; without Python packages.

        pytest imports the ``__init__.py`` of each package in the chain before the item runs. Where a deployment is
        described beside its code, that would be the app, which belongs in its own processes, and whose packages may not
        be here.
        """
        return [node for node in super().listchain() if not isinstance(node, pytest.Package)]

    def runtest(self) -> None:
        """End as the check ended; raises :class:`CheckFailed` with what is wrong, or skips with the reason."""
        _session(self.config).judge(self)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The finding as people read it; only an error of our own comes with a traceback."""
        if isinstance(excinfo.value, CheckFailed):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where the deployment is described, and the item's headline."""
        origin = self.deployment.origin("name") or self.deployment.origin("runtime")
        line = max(origin.line - 1, 0) if origin else 0
        return self.path, line, f"{self.deployment.name}: {self.name}"


def _session(config: pytest.Config) -> Session:
    session: Any = config.pluginmanager.get_plugin("llamakey-session")
    typed: Session = session
    return typed
