"""From what a project holds to the fields of a deployment, each with the reason, and what is left to its owner."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_llamakey.guess import start as starts
from pytest_llamakey.guess.asking import front_of, say_ready, say_request
from pytest_llamakey.guess.code import Code, Route, read_code
from pytest_llamakey.guess.fields import Draft
from pytest_llamakey.guess.key_line import say_key
from pytest_llamakey.guess.platform import read_compose, read_workload
from pytest_llamakey.guess.pyproject import entries_that_serve, lines_that_serve, only_entry, read_scripts
from pytest_llamakey.guess.queue_worker import broker_variable, say_broker, say_task
from pytest_llamakey.guess.set_before import OF_MACHINE, PORT_NAMES, may_be_copied
from pytest_llamakey.spec import dockerfile_facts
from pytest_llamakey.spec import unit as units
from pytest_llamakey.spec.complete import compose_files
from pytest_llamakey.spec.model import SpecError
from pytest_llamakey.symptoms.lookups import names_model_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pytest_llamakey.guess.frontends import Front
    from pytest_llamakey.guess.pyproject import Script
    from pytest_llamakey.guess.start import Start
    from pytest_llamakey.spec.dockerfile_facts import DockerfileFacts, Variable
    from pytest_llamakey.spec.unit import Unit


def draft(folder: Path) -> Draft:
    """What can be said of the project in ``folder`` without running anything.

    Raises:
        SpecError: its Dockerfile, compose file or manifest cannot be understood.
    """
    return _drafted(folder).without_keys()


def _drafted(folder: Path) -> Draft:
    made, code = Draft(), read_code(folder)
    dockerfile = folder / "Dockerfile"
    facts = dockerfile_facts.read(dockerfile, shown="Dockerfile") if dockerfile.is_file() else None
    names = compose_files(folder)
    compose = read_compose(folder / names[0], names_model_key) if names else None
    workload = read_workload(folder, names_model_key)
    scripts = read_scripts(folder)
    begun = _begun(folder, facts, code, scripts)
    unit = next(iter(_units(folder)), None)
    by_unit = starts.of_unit(unit, folder) if unit else None
    if facts is not None and (facts.cmd or facts.entrypoint or compose is None):
        started = " ".join(each.text for each in (facts.cmd, facts.entrypoint) if each)
        if unit is not None and re.search(r"systemd|/sbin/init", started):
            begun = by_unit
            made.runtime = "systemd"
            made.say("unit", unit.name, "the image's PID 1 is systemd")
            made.say("build", ".", facts.file)
            _port(made, facts, begun)
        else:
            _docker(made, facts, begun)
        if compose is not None:
            beside = [name for name in compose.names if name != compose.service]
            with_them = f" with {', '.join(beside)} beside it" if compose.service and beside else ""
            write = f'compose = "{compose.file}"'
            made.also.append(f"{compose.file} starts it{with_them}: a [[deployment]] with {write} tests that")
        if workload is not None:
            files = ", ".join(f'"{file}"' for file in workload.files)
            made.also.append(f"manifests are here too: a [[deployment]] with manifests = [{files}] tests those")
    elif compose is not None:
        made.runtime = "compose"
        if compose.worker and (route := _hands_on(code)):
            service = f'service = "{compose.service}"'
            made.also.append(f"{route.place} hands its work on: a [[deployment]] with {service} needs no request")
            compose = compose.worker
        made.say("compose", compose.file, "the compose file here")
        if compose.command:
            begun = starts.of_line(compose.command.text, str(compose.command.origin), folder)
        if begun is not None and compose.variables:
            begun = starts.with_given(begun, compose.variables, compose.file, folder)
        others = ", ".join(name for name in compose.built if name != compose.service)
        if compose.service and others:
            made.also.append(
                f"{compose.file} runs this code in {others} too: a [[deployment]] with that service tests it"
            )
        if compose.service:
            made.say("service", compose.service, compose.why)
        else:
            made.open.append(f"service: which of {compose.file}'s services is under test ({', '.join(compose.names)})")
    elif workload is not None:
        made.runtime = "kubernetes"
        made.say("manifests", list(workload.files), "the manifests here")
        made.say("workload", workload.name, workload.where)
    elif begun is not None:
        made.runtime = "process"
        made.say("runtime", "process", "no Dockerfile, compose file or manifest is here")
        made.say("command", list(begun.words), begun.where)
        _listens(made, begun)
        _seen_in_scripts(made, begun, scripts)
    else:
        made.open.append(
            "how the app is started: no Dockerfile, compose file, manifest, Procfile, unit or web app is here"
        )
        _seen_in_scripts(made, begun, scripts)
        return made
    if not (begun and begun.is_celery_alone):
        say_ready(made, code, facts, workload)
        if code.routes or not code.tasks:
            say_request(made, code, folder)
    say_task(made, code, begun)
    say_broker(made, code, begun)
    _workers(made, begun, front_of(code))
    say_key(made, code, folder, compose=compose, workload=workload, unit=unit if begun == by_unit else None)
    _other_ways(made, folder, begun, unit, code)
    _env(made, code, facts, begun)
    return made


def _begun(folder: Path, facts: DockerfileFacts | None, code: Code, scripts: tuple[Script, ...]) -> Start | None:
    queued = _hands_on(code)

    def each() -> Iterator[Start | None]:
        if facts is not None:
            yield starts.of_dockerfile(facts, folder)
        # Where all work is handed on, it is the queue's worker that calls the model.
        yield from sorted(starts.of_procfile(folder / "Procfile"), key=lambda one: bool(queued) and one.celery is None)
        for unit in _units(folder):
            yield starts.of_unit(unit, folder)
        yield from lines_that_serve(scripts, folder)
        yield from entries_that_serve(scripts, folder)
        for app in code.apps:
            yield starts.of_app(app, folder)
        for front in code.fronts:
            yield starts.of_front(front, folder)
        yield only_entry(scripts, folder)

    begun = next((start for start in each() if start is not None), None)
    if begun is not None and _gradio_port(code) and not begun.takes_port:
        return replace(begun, port_variable=True)
    return begun


def _hands_on(code: Code) -> Route | None:
    """The first of the routes that ask the model, where each of them leaves that to a queue's worker."""
    asking = [route for route in code.routes if route.asks]
    return asking[0] if code.tasks and asking and all(route.queued for route in asking) else None


def _units(folder: Path) -> Iterator[Unit]:
    """The units here that can be read; what only becomes one by a template is passed over."""
    for path in sorted(folder.glob("*.service")):
        with suppress(SpecError):
            yield units.read(path, path.name)


def _listens(made: Draft, begun: Start) -> None:
    """The port of a plain process that is not told one."""
    if begun.takes_port or begun.is_celery_alone:
        return
    if begun.port:
        made.say("port", begun.port, begun.where)
    else:
        made.say("port", 8000, "where the app listens: correct it", sure=False)
        made.open.append("port: nothing says where the app listens")


def _seen_in_scripts(made: Draft, begun: Start | None, scripts: tuple[Script, ...]) -> None:
    """The scripts of the ``pyproject.toml`` beside the one that the start comes from, and whether that one serves."""
    others = [script for script in scripts if not (begun and begun.where.startswith(script.where))]
    listed = ", ".join(f"{script.name} ({script.where.partition(' ')[0]}: {script.text})" for script in others[:4])
    if begun is None and others:
        made.open.append(f"which script of pyproject.toml starts it: {listed}")
    elif others:
        made.also.append(f"scripts that could start it too: {listed}")
    if begun is not None and len(others) < len(scripts) and not (begun.runs or begun.serves):
        made.open.append(f"command: whether {begun.where.partition(';')[0]} is what serves")


def _other_ways(made: Draft, folder: Path, begun: Start | None, unit: Unit | None, code: Code) -> None:
    """What the project also runs, and how that is tested."""
    if unit is not None and made.runtime in {"process", "docker"}:
        needs = "systemd in the image" if made.runtime == "docker" else "a Dockerfile whose image has systemd"
        write = f'unit = "{unit.name}"'
        made.also.append(f"{unit.name} itself can be tested: write {write} and add {needs} (docs/systemd.md)")
    for start in starts.of_procfile(folder / "Procfile"):
        words = json.dumps(start.words)
        if start.celery is not None and start != begun:
            made.also.append(f"{start.where} runs Celery: a [[deployment]] with command = {words} and a task tests it")
        elif start != begun and (route := _hands_on(code)):
            hands = f"{route.place} hands its work on"
            made.also.append(f"{hands}: a [[deployment]] with command = {words} ({start.where}) needs no request")


def _gradio_port(code: Code) -> bool:
    """Whether the port is told by Gradio's own variable."""
    front = front_of(code)
    return front is not None and front.kind == "gradio"


def _docker(made: Draft, facts: DockerfileFacts, begun: Start | None) -> None:
    made.runtime = "docker"
    bases = {stage.base for stage in facts.stages}
    named = next((arg.name for arg in facts.args if arg.value in bases), "")
    other = f"; another base image: --llamakey-build-arg {named}=<image>" if named else ""
    made.say("build", ".", f"{facts.file}{other}")
    if begun is not None:
        usable = (begun.takes_port or begun.is_celery_alone) and begun.replaces_cmd
        note = f"{begun.where}; also what --llamakey-runtime process starts"
        if usable:
            made.say("command", list(begun.words), note)
        else:
            made.say(
                "command", list(begun.words), f"{begun.where}; needed for --llamakey-runtime process only", sure=False
            )
    _port(made, facts, begun)


def _port(made: Draft, facts: DockerfileFacts, begun: Start | None) -> None:
    if begun is not None and begun.is_celery_alone:
        return
    ports = [port.number for port in facts.ports]
    if len(ports) == 1:
        made.say("port", ports[0], f"{facts.file}:{facts.ports[0].line} EXPOSE")
    elif begun is not None and begun.port:
        made.say("port", begun.port, begun.where)
    else:
        made.say("port", ports[0] if ports else 8000, "where the app listens: correct it", sure=False)
        made.open.append("port: the Dockerfile does not EXPOSE just one")


def _workers(made: Draft, begun: Start | None, front: Front | None) -> None:
    if front is not None:
        made.say("workers", 1, f"{front.place}, {front.kind}: a page is one process")
    elif begun is not None and begun.workers:
        made.say("workers", begun.workers, begun.workers_where)
    else:
        made.say("workers", 2, "how many worker processes must show up; without it, as many as are found", sure=False)
        made.open.append("workers: nothing says how many there are to be, so a missing one is not noticed")


def _env(made: Draft, code: Code, facts: DockerfileFacts | None, begun: Start | None) -> None:
    env, why = dict[str, str](), list[str]()
    if begun is not None and begun.port_variable and made.get("command"):
        env["GRADIO_SERVER_PORT" if _gradio_port(code) else "PORT"] = "{port}"
        why.append(begun.where)
    if begun is not None and any(each.name == "command" for each in made.fields):
        kept = {name: value for name, value in dict(begun.env).items() if may_be_copied(name, value)}
        left = ", ".join([*(name for name in dict(begun.env) if name not in kept), *begun.env_elsewhere])
        if kept and made.get("command"):
            env |= kept
            why.append(f"set in {begun.env_where or begun.where}")
        if left and begun.env_where:
            made.open.append(f"env: {begun.env_where} sets {left}, which is not copied; add what a run needs")
        elif left:
            made.open.append(f"command: {begun.where} sets {left} before it, which is not copied")
    if begun is not None and begun.concurrency_where and made.get("command") and "WEB_CONCURRENCY" not in env:
        env["WEB_CONCURRENCY"] = str(begun.workers)
        why.append(f"as {begun.concurrency_where} says, for processes too")
    if facts is not None and made.get("command"):
        # The image has them in any case; a plain process has them from here alone.
        for name, variable in _of_image(code, facts).items():
            if name not in env:
                env[name] = variable.value
                why.append(f"{facts.file}:{variable.line} ENV, for processes too")
    if code.azure:
        env |= {"AZURE_OPENAI_ENDPOINT": "{endpoint}", "OPENAI_API_VERSION": "2024-10-21"}
        why.append(code.azure)
    if env:
        made.say("env", env, ", ".join(dict.fromkeys(why)))
    known = {
        *env,
        *((broker_variable(code),) if any(each.name == "services" for each in made.fields) else ()),
        *(begun.sets if begun else ()),
        *((*dict(begun.env), *begun.env_elsewhere) if begun else ()),
        *(facts.env if facts else {}),
        "PORT",
        "HOME",
        "PATH",
        "OPENAI_API_BASE",
        "OPENAI_BASE_URL",
    }
    for name, (at, required) in code.variables.items():
        if required and name not in known and not names_model_key(name):
            made.open.append(f'env: {at} needs {name}; add env = {{ {name} = "…" }}')


def _of_image(code: Code, facts: DockerfileFacts) -> Mapping[str, Variable]:
    """Variables that the image sets and the app cannot do without, but for paths that only the image has."""
    inside = f"{facts.workdir or '/'}/"
    needed = {name for name, (_at, required) in code.variables.items() if required} - set(PORT_NAMES)
    there = {
        name: variable
        for name, variable in facts.env.items()
        if not OF_MACHINE.search(variable.value) or f"{variable.value}/".startswith(inside)
    }
    kept = {name: variable for name, variable in there.items() if name in needed}
    if (path := facts.env.get("PYTHONPATH")) is not None:  # of several paths, one that is not there does no harm
        kept["PYTHONPATH"] = path
    return {name: variable for name, variable in kept.items() if may_be_copied(name, variable.value)}
