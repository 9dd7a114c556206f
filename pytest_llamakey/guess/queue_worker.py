"""The fields that a start of Celery's worker needs: the ``task`` that drives it, and the broker beside it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_llamakey.guess.code import Code
    from pytest_llamakey.guess.fields import Draft
    from pytest_llamakey.guess.start import Start

_BROKER_VARIABLE = re.compile(r"BROKER|^(?:REDIS|RABBITMQ|AMQP)_URL$")
_READ_BY_CELERY = "CELERY_BROKER_URL"
_REDIS: Mapping[str, Any] = {
    "redis": {"image": "redis:7", "port": 6379, "command": ["redis-server", "--port", "{port}"]}
}
_HOLDS_SERVICES = {"docker", "process", "systemd"}
"""The runtimes that start ``services``; the others' own files bring the broker."""


def say_task(made: Draft, code: Code, begun: Start | None) -> None:
    """The task that makes Celery's workers call the model: sure where the start makes such workers."""
    worker = begun.celery if begun else None
    driven = begun is not None and (begun.is_celery_alone or begun.is_celery_beside_web)
    for task in code.tasks[:1]:
        app = (worker.celery_app if worker else "") or task.app
        sure = driven or not code.routes
        beside = "" if sure else "; for a worker beside the web app"
        value = {"app": app, "name": task.name, "args": list(task.args)}
        made.say("task", value, f"{task.place}, a Celery task{beside}", sure=sure)
    if worker is not None and not code.tasks:
        app = worker.celery_app or "tasks"
        value = {"app": app, "name": f"{app}.NAME", "args": ["ping"]}
        made.say("task", value, "a task that calls the model: correct it", sure=False)
        made.open.append("task: no Celery task was found that calls a model; without one its workers are not driven")


def say_broker(made: Draft, code: Code, begun: Start | None) -> None:
    """An offer of the broker, where the start needs one and brings none."""
    brought = begun is None or begun.celery is None or any(each.is_broker for each in begun.runs)
    if brought or made.runtime not in _HOLDS_SERVICES:
        return
    name = broker_variable(code)
    made.say("services", _REDIS, "Celery's broker, if it is Redis", sure=False)
    said = f'{name} = "redis://{{redis}}/0" in env'
    made.open.append(f"services: Celery needs its broker, which nothing here starts; if it is Redis, also {said}")


def broker_variable(code: Code) -> str:
    """The variable that the code takes the broker's address from, or Celery by itself."""
    return next((name for name in code.variables if _BROKER_VARIABLE.search(name)), _READ_BY_CELERY)
