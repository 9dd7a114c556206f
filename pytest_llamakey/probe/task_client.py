"""Sends tasks to Celery workers on command. Its text is run by their own interpreter, beside them: ``python -c``.

It takes on the environment and the folder of the worker whose pid it is given, imports the deployment's Celery app, and
sends through the app's own broker: one that only the deployment itself can reach, as a rule. The probe in this process
receives the commands and answers them. Python 3.8 and newer.
"""

import json
import os
import sys
import time

LIFETIME = 1800.0


def adopt(pid, folder):
    """Take on what the worker ``pid`` was started with: its start script may have set the broker's address."""
    try:
        with open("/proc/%d/environ" % pid, "rb") as file:
            rows = file.read().split(b"\0")
    except OSError:  # no Linux: the environment of the deployment's first process must do
        rows = []
    for name, sign, value in (row.partition(b"=") for row in rows):
        if name and sign:
            os.environb[name] = value
    for place in ("/proc/%d/cwd" % pid, folder):  # `celery --workdir` goes elsewhere after its start
        try:
            os.chdir(os.path.realpath(place))
            break
        except OSError:
            continue
    more = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    sys.path[:0] = [os.getcwd()] + [part for part in more if part not in sys.path]


def find(name):
    """The Celery app, as ``celery -A`` finds it, with all its task modules imported."""
    from celery.app.utils import find_app

    app = find_app(name)
    app.loader.import_default_modules()
    return app


def send(app, wanted):
    """Send the task once, with the options that its own ``apply_async`` would take, and return its id."""
    task = app.tasks.get(wanted["name"])
    options = {}
    for option in ("queue", "exchange", "routing_key", "priority", "serializer", "compression"):
        if getattr(task, option, None) is not None:
            options[option] = getattr(task, option)
    if wanted["queue"]:
        options["queue"] = wanted["queue"]
    # Not the task's own apply_async: with `task_always_eager` that would run the task here.
    return app.send_task(wanted["name"], wanted["args"], wanted["kwargs"], **options).id


def main(agent, wanted):
    """Serve until the probe is told to leave, or has lost its listener."""
    sys.argv[:] = ["celery"]
    leaving = []  # type: ignore[var-annotated]
    try:
        adopt(wanted["worker"], wanted["folder"])
        app = find(wanted["app"])
    except BaseException as error:
        agent.put("sender", error=agent.told(error))
        return

    def one(number):
        try:
            agent.put("sent", n=number, id=send(app, wanted), error="")
        except Exception as error:
            agent.put("sent", n=number, id="", error=agent.told(error))

    agent.duties["send"] = one
    agent.duties["leave"] = leaving.append
    agent.put("sender", error="")
    end = time.monotonic() + LIFETIME
    while not leaving and not agent.wire.dead and time.monotonic() < end:
        time.sleep(0.1)


if __name__ == "__main__":
    given = json.loads(sys.argv[2])
    main(sys.modules[given["agent"]], given)
