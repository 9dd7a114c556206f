# Some samples need more than sample_images/requirements.txt has: packages of a front end or server, Celery, a Redis, Compose.
# Where that is not on this machine they are skipped, and pytest says what to install.
import importlib.util
import shutil
import sys
from functools import lru_cache
from pathlib import Path

import pytest

from pytest_llamakey.options import read

HERE = Path(__file__).parent
KUBERNETES = "kr8s is not installed: pip install 'pytest-llamakey[kubernetes]'"
# For each sample: the package of its `ask.py`, which runs beside pytest; the package that the app itself imports where it is
# a plain process; the program that is started with it there; and where its packages are listed.
NEEDS = {
    "frontends/chainlit": ("socketio", "chainlit", "", "requirements.txt"),
    "frontends/gradio": ("", "gradio", "", "requirements.txt"),
    "frontends/streamlit": ("streamlit", "streamlit", "", "requirements.txt"),
    "runtimes/celery/broken": ("", "celery", "redis-server", "requirements-worker.txt"),
    "runtimes/celery/right": ("", "celery", "redis-server", "requirements-worker.txt"),
    "servers/django": ("", "django", "", "requirements-server.txt"),
    "servers/eventlet": ("", "eventlet", "", "requirements-server.txt"),
    "servers/gevent": ("", "gevent", "", "requirements-server.txt"),
    "servers/granian": ("", "granian", "", "requirements-server.txt"),
    "servers/hypercorn": ("", "hypercorn", "", "requirements-server.txt"),
    "servers/rq": ("", "rq", "redis-server", "requirements-server.txt"),
    "servers/supervisord": ("", "supervisor", "", "requirements-server.txt"),
}


def lacking(sample, runtime):
    """What has to be installed before the sample can run, as a sentence, or nothing."""
    beside, imported, program, listed = NEEDS.get(sample, ("", "", "", ""))
    as_process = runtime == "process"
    if not as_process and sample.startswith("runtimes/kubernetes"):
        return "" if importlib.util.find_spec("kr8s") else KUBERNETES
    if not as_process and sample.startswith("runtimes/compose"):
        return no_compose()
    for package in filter(None, (beside, imported if as_process else "")):
        if importlib.util.find_spec(package) is None:
            return f"{package} is not installed: {sys.executable} -m pip install -r {HERE / sample / listed}"
    if as_process and program and shutil.which(program) is None:
        return f"{program} is not installed (as root on Debian: tools/redis; macOS: brew install redis)"
    return ""


@lru_cache(maxsize=1)
def no_compose():
    """Why Compose cannot be run here, or nothing."""
    from pytest_llamakey.runtimes.base import RuntimeFault
    from pytest_llamakey.runtimes.compose_tool import find_compose

    try:
        find_compose(None)
    except RuntimeFault as fault:
        return str(fault)
    return ""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    runtime = read(config).runtime
    for item in items:
        sample = item.path.parent
        if sample.is_relative_to(HERE) and (reason := lacking(sample.relative_to(HERE).as_posix(), runtime)):
            item.add_marker(pytest.mark.skip(reason=reason))
