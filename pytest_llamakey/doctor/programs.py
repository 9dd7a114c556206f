"""Whether the programs that a deployment starts as plain processes are here, looked for as its run looks for them."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llamakey.doctor.there import Row
from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.overlay import make_overlay
from pytest_llamakey.runtimes.process_command import Launcher, environment_of
from pytest_llamakey.runtimes.process_copy import World, absolute_workdir, is_copied
from pytest_llamakey.runtimes.process_services import program_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_llamakey.spec.model import Deployment


def programs(deployment: Deployment) -> list[Row]:
    """A row for the program of the deployment's command, and for those of its services."""
    return [*_of_command(deployment), *_of_services(deployment)]


def _of_command(deployment: Deployment) -> Iterator[Row]:
    name, *_arguments = deployment.command or ("",)
    if not name:
        return
    with tempfile.TemporaryDirectory(prefix="llamakey-") as made:
        folder = Path(made).resolve()
        world = World(folder / "root", absolute_workdir(deployment.workdir))
        program = world.translate(name)
        world.app.parent.mkdir(parents=True, exist_ok=True)
        if is_copied(deployment.folder, world.app, program):
            world.app.symlink_to(deployment.folder.resolve())
        else:
            world.app.mkdir()
        overlay = make_overlay(folder / "overlay", {})
        environment = environment_of(world, overlay, deployment.env)
        try:
            found = Launcher(world, overlay, environment, deployment, folder / "log").find(program)
        except RuntimeFault as fault:
            yield Row(name, False, str(fault))
            return
        with contextlib.suppress(ValueError):
            found = str(deployment.folder / Path(found).relative_to(world.app))
        beside = found.startswith(f"{overlay.bin}/")
        yield Row(name, True, "is beside the interpreter that runs pytest" if beside else f"is {found}")


def _of_services(deployment: Deployment) -> Iterator[Row]:
    for service in deployment.services:
        name = service.command[0] if service.command else f"service {service.name}"
        try:
            yield Row(name, True, f"is {program_of(service, str(deployment.origin('services') or deployment.id))}")
        except RuntimeFault as fault:
            yield Row(name, False, str(fault))
