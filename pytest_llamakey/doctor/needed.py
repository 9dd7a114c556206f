"""The images that a deployment needs, by its own files: those that it runs, and those that it is built on."""

from __future__ import annotations

import re
import types
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from docker.utils import parse_repository_tag

from pytest_llamakey.runtimes.kubernetes_patch import pod_template
from pytest_llamakey.spec import compose_values, dockerfile_facts, dotenv_file, manifests
from pytest_llamakey.spec.complete import read_compose
from pytest_llamakey.spec.compose_choice import PROJECT_ENV
from pytest_llamakey.spec.model import SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_llamakey.spec.compose import Service
    from pytest_llamakey.spec.model import Deployment

ALWAYS, NEVER, IF_NOT_PRESENT = "Always", "Never", "IfNotPresent"
"""Kubernetes' words for when a node pulls an image."""
_COMPOSE_PROFILES = "COMPOSE_PROFILES"
_OF_IMAGE = "docker-image://"
"""How ``additional_contexts`` name an image."""
_GAP = re.compile(r"^$|(?:^|[/:@])(?:[/:@]|$)|[._-][/:@]|(?:^|/)[^:/]*[._-]$")
"""Where a variable that nothing sets leaves no name of an image."""


@dataclass(frozen=True)
class Needed:
    """An image by its name.

    ``by`` is what needs it and where that stands, empty for the app itself. ``built_on``: a build begins with it, and
    ``argument`` is the build argument that names it. ``policy`` is the ``imagePullPolicy`` where a cluster's nodes pull
    it. ``trouble`` is why it cannot be told which images are needed; ``name`` is then that of what needs them, and
    ``blocks`` says whether that cannot be started for it.
    """

    name: str
    by: str = ""
    built_on: bool = False
    argument: str = ""
    policy: str = ""
    trouble: str = ""
    blocks: bool = True

    @property
    def what(self) -> tuple[str, str]:
        """What is looked for, and by whose rules: the same for all that need the same image."""
        return self.name, self.policy


def needed(deployment: Deployment, build_args: Mapping[str, str]) -> list[Needed]:
    """What ``deployment`` needs to be there or pulled; ``build_args`` are those of every build."""
    args = {**build_args, **deployment.build_args}
    folder = deployment.folder
    if deployment.runtime == "compose":
        return list(of_compose(folder, deployment.compose, args, deployment.env, deployment.service))
    found: list[Needed] = []
    if deployment.image and deployment.runtime != "kubernetes":
        found.append(Needed(deployment.image))
    elif deployment.build is not None and not deployment.image:
        found += bases(folder / deployment.build / deployment.dockerfile, args)
    if deployment.runtime == "kubernetes":
        found += _of_manifests(deployment)
    elif deployment.runtime != "process":
        found += _of_services(deployment, args)
    return found


def bases(
    path: Path,
    args: Mapping[str, str],
    by: str = "",
    target: str = "",
    contexts: Mapping[str, str] = types.MappingProxyType({}),
) -> Iterator[Needed]:
    """The images that the Dockerfile at ``path`` builds on or takes files of, up to the stage ``target``.

    ``contexts`` are names that it has from elsewhere, and what each stands for.
    """
    try:
        facts = dockerfile_facts.read(path, build_args=args)
    except SpecError as error:
        yield Needed(by or str(path), built_on=True, trouble=str(error))
        return
    if facts.syntax:
        told = f"a build with BuildKit takes this from its registry ({path.name}, # syntax=); not asked for"
        yield Needed(facts.syntax, by, trouble=told, blocks=False)
    names = [stage.name.lower() for stage in facts.stages]
    known = {*filter(None, names), "scratch"}
    last = names.index(target.lower()) + 1 if target and target.lower() in names else None
    for number, stage in enumerate(facts.stages[:last]):
        taken = [one.source for one in facts.taken if one.number == number and not one.source.isdecimal()]
        for name in dict.fromkeys((stage.base, *taken)):
            image = contexts.get(name, f"{_OF_IMAGE}{name}")
            if name and name.lower() not in known and image.startswith(_OF_IMAGE):
                argument = next((arg.name for arg in facts.args if arg.value == name), "")
                yield Needed(image.removeprefix(_OF_IMAGE), by, built_on=True, argument=argument)


def of_compose(
    folder: Path, files: Sequence[str], args: Mapping[str, str], env: Mapping[str, str], under_test: str | None = None
) -> Iterator[Needed]:
    """Those of each service that compose ``files`` in ``folder`` start, filled in from ``env`` and the ``.env``."""
    try:
        facts = read_compose(folder, files, folder)
        project = (folder / files[0]).parent
        beside = dotenv_file.values(project / PROJECT_ENV, str(PurePosixPath(files[0]).parent / PROJECT_ENV))
    except SpecError as error:
        yield Needed(", ".join(files), trouble=str(error))
        return
    variables = {**{name: value for name, value in beside.items() if value is not None}, **env}
    app = facts.services.get(under_test or "")
    profiles = {*variables.get(_COMPOSE_PROFILES, "").split(","), *(app.profiles[:1] if app else ())}
    for service in facts.services.values():
        if service is app or not service.profiles or profiles & set(service.profiles):
            yield from _of_service(service, project, args, variables)


def _of_service(
    service: Service, project: Path, args: Mapping[str, str], variables: Mapping[str, str]
) -> Iterator[Needed]:
    by = f"service {service.name}, {service.origin}"
    build = service.build
    if build is None:
        image = compose_values.filled(service.image or "", variables)
        unset = image.missing or (image.blank if _GAP.search(image.text) else ())
        if unset:
            yield Needed(by, trouble=_unset(service.image or "", unset))
        elif image.text:
            yield Needed(image.text, by)
        return

    def filled(written: str) -> str:
        return compose_values.filled(written, variables).text

    context = compose_values.filled(build.context, variables)
    if build.inline or "://" in context.text or context.text.startswith("git@"):
        yield Needed(by, trouble="its Dockerfile is no file here, and was not looked at", blocks=False)
    elif context.missing:
        yield Needed(by, trouble=_unset(build.context, context.missing))
    else:
        own = {name: filled(f"${{{name}}}" if text is None else text) for name, text in build.args.items()}
        contexts = {name: filled(text) for name, text in build.contexts.items()}
        path = project / context.text / filled(build.dockerfile)
        yield from bases(path, {**own, **args}, by, filled(build.target), contexts)


def _unset(written: str, missing: Iterable[str]) -> str:
    names = list(dict.fromkeys(missing))
    return f'{written} takes {" and ".join(names)}, which nothing sets; add env = {{ {names[0]} = "…" }}'


def _of_services(deployment: Deployment, args: Mapping[str, str]) -> Iterator[Needed]:
    """Those of the containers beside the app."""
    for service in deployment.services:
        by = ", ".join(map(str, filter(None, (f"service {service.name}", deployment.origin("services")))))
        if service.image:
            yield Needed(service.image, by)
        elif service.build:
            yield from bases(deployment.folder / service.build / "Dockerfile", args, by)


def _of_manifests(deployment: Deployment) -> Iterator[Needed]:
    """Those that the nodes of a cluster take.

    In the place of the app's own comes that which the deployment names, or one that is built here and handed to them.
    """
    try:
        read = manifests.read(deployment)
    except SpecError as error:
        yield Needed(", ".join(deployment.manifests), trouble=str(error))
        return
    own = read.workload.container.get("image")
    for resource in read.resources:
        pods = pod_template(dict(resource.body))
        for container in (*(pods[1].get("initContainers") or ()), *(pods[1].get("containers") or ())) if pods else ():
            image = container.get("image")
            if image == own and (deployment.image or deployment.build is not None):
                image = deployment.image
            if image:
                policy = container.get("imagePullPolicy") or _policy_of(str(image))
                yield Needed(str(image), f"{resource.called}, {resource.file}", policy=str(policy))


def _policy_of(image: str) -> str:
    """What holds without ``imagePullPolicy`` (kubernetes.io/docs/concepts/containers/images)."""
    return ALWAYS if parse_repository_tag(image)[1] in (None, "", "latest") else IF_NOT_PRESENT
