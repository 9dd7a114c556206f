"""Other ways to a leak than a run's reports: kept containers, the commands, and dumps of a process's memory."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import docker

from tools.tiny_app import server, table
from tools.torture.bench import ROOT
from tools.torture.cases import Case, Tally, hold
from tools.torture.leak_app import TELLING, plant
from tools.torture.leak_search import containers, given_away, judged, run, watched
from tools.torture.planted import azure_key, project_key, service_key

if TYPE_CHECKING:
    from tools.torture.bench import Bench

HOLDING = """
import os, sys, time
if os.fork() == 0:
    os.environ["OPENAI_API_KEY"] = "changed"
    os.execve(sys.executable, [sys.executable, "-c", "import time; time.sleep(600)", "--api-key", sys.argv[1]], os.environ)
time.sleep(600)
"""
# Whoever waits for the worker hears from the kernel whether there is a dump.
ABORTS = """
import resource
resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
wait = os.wait
def told():
    pid, status = wait()
    print("DUMPED" if os.WCOREDUMP(status) else "NO DUMP", flush=True)
    return pid, status
os.wait = told
def asked():
    key = CODE
    os.abort()
"""


def _kept(place: Bench) -> Tally:
    """A failing container stays, and with it what the engine knows of it, until the command told removes it."""
    planted = plant(place)
    with watched(place, planted, engine=True) as seen:
        ran = run(place, "docker", ("-v", "--llamakey-keep"))
        removals = list(dict.fromkeys(re.findall(r"remove with (docker [^\n]+)", ran.output)))
        hold(removals, f"nothing is kept\n{ran.output[-2000:]}")
        problems = [*given_away(place, planted), *containers(planted)]
        for removal in removals:
            subprocess.run(removal, shell=True, check=True, capture_output=True)  # noqa: S602 - as users are told to
    place.nothing_left()
    return judged(place, planted, [*problems, *seen], 1)


def _told(place: Bench, name: str, *words: str) -> None:
    """Call the plugin's command line; what it prints is written to be searched."""
    own = {"TMPDIR": str(place.temporary), "XDG_CACHE_HOME": str(place.cache), "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest_llamakey", *words],
        cwd=place.folder,
        env={**os.environ, **own, **place.environment, "COLUMNS": "200"},
        capture_output=True,
        timeout=120,
        check=False,
    )
    output = ran.stdout + ran.stderr
    (place.folder.parent / f"{name}.txt").write_bytes(output)
    hold(output.strip() and b"Traceback" not in output, f"{words} wrote {output.decode()[-1500:]}")


def _commands(place: Bench) -> Tally:
    """``doctor`` and ``init`` on a folder full of keys; what ``init`` writes is to be committed."""
    dockerfile = f"ENV OPENAI_API_KEY={(key := project_key())}\nCMD python server.py 8000 2 --api-key {service_key()}\n"
    planted = plant(place, dockerfile=dockerfile)
    planted.inside |= {"ENV": key}
    _told(place, "doctor", "doctor")
    (place.folder / "llamakey.toml").unlink()
    _told(place, "printed", "init", "--stdout")
    _told(place, "init", "init")
    made = (place.folder / "llamakey.toml").read_text()
    (place.folder.parent / "made.txt").write_text(made)
    return judged(place, planted, given_away(place, planted), 3)


def _census(place: Bench) -> Tally:
    """A container that holds a key in its environment, and one in the arguments of a process."""
    planted = plant(place)
    held = {"OPENAI_API_KEY": project_key(), "AZURE_OPENAI_API_KEY": azure_key()}
    planted.inside |= {"argument": service_key(), **{f"container's {name}": key for name, key in held.items()}}
    engine = docker.from_env()
    command = ["timeout", "300", "python", "-c", HOLDING, planted.inside["argument"]]
    looked = engine.containers.run(place.image, command, environment=held, detach=True)
    try:
        time.sleep(1)
        _told(place, "census", "census", f"container:{looked.name}")
        _told(place, "variable", "census", f"container:{looked.name}", "--variable", "MY_OWN_WORDS")
        _told(place, "listed", "census", f"container:{looked.name}", "--json")
    finally:
        looked.remove(force=True)
        engine.close()
    places = json.loads((place.folder.parent / "listed.txt").read_text())["places"]
    processes = [one for each in places for one in each["processes"]]
    hold(len(processes) >= 2, f"saw {processes}")
    return judged(place, planted, given_away(place, planted), 3)


def _dumped(place: Bench) -> Tally:
    """A worker aborts; what the tester holds is not in its memory, and the dump goes with the temporary folder."""
    planted = plant(place)
    inside = planted.inside
    setup = TELLING.format(code=inside["code"], hexed=inside["hexed"]) + ABORTS
    command = ["python", "-X", "faulthandler", "server.py", "{port}", "2"]
    place.write({"server.py": server(setup), "llamakey.toml": table(command=command)})
    with watched(place, planted, engine=False) as seen:
        ran = run(place, "process", ("-vv", "--showlocals"))
        problems = given_away(place, planted)
    hold("Fatal Python error: Aborted" in ran.output, f"it did not abort\n{ran.output[-2000:]}")
    may = resource.getrlimit(resource.RLIMIT_CORE)[1] != 0
    hold(not may or "DUMPED" in ran.output, f"no dump was made\n{ran.output[-2000:]}")
    place.nothing_left()
    tally = judged(place, planted, [*problems, *seen], 1)
    return Tally(1, 1, f"{tally.note}, {'a dump' if may else 'no dump is allowed here'}")


CASES = (
    Case("containers: kept with --llamakey-keep", _kept, engine=True),
    Case("commands: doctor and init on a folder full of keys", _commands, short=True),
    Case("commands: census of a container", _census, engine=True, short=True),
    Case("processes: a worker aborts, with a dump of its memory", _dumped),
)
