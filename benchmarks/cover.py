"""Requests that it takes until every one of n workers has answered: as many as workers, and not one more.

Beside it, in the same boot and after it: plain requests, one after another, until each worker has made a call.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

import httpx

from benchmarks import bare
from benchmarks.measure import Plan, Row
from pytest_llamakey.spec import keywords
from pytest_llamakey.spec.model import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_llamakey.live import LiveDeployment
    from pytest_llamakey.probe.listener import ProcessRecord
    from pytest_llamakey.station import Station
    from pytest_llamakey.workshop import Workshop

ROUNDS = 3
"""Seven boots of each server with each number of workers would take half an hour."""
SIZES, FEW = (2, 8, 32, 64), (2, 8)
PRELOADED = "gunicorn --preload"
SAMPLE = "gunicorn_preload"
"""Each worker of it calls the model once as it starts: the first call's imports are not the drive's."""
SERVERS = {
    PRELOADED: "",
    "gunicorn": "gunicorn app:app --worker-class uvicorn_worker.UvicornWorker --bind 127.0.0.1:{port}",
    "uvicorn": "uvicorn app:app --workers <n> --host 127.0.0.1 --port {port}",
    "hypercorn": "hypercorn app:app --workers <n> --bind 127.0.0.1:{port}",
    "granian": "granian app:app --interface asgi --workers <n> --host 127.0.0.1 --port {port}",
}
"""The command of each (``<n>``: workers), where it is not the sample's own."""
MILLISECONDS = 15.0
_ASKED = 20
_NAIVE, _NAIVE_SECONDS = 30, 30.0
"""At most as many plain requests a worker, and seconds in all."""
_CALL_SECONDS = 5.0


@dataclass(frozen=True)
class Cover:
    """One boot: requests and seconds of each worker, the app's own answer in milliseconds, and the plain requests.

    ``observed``: seconds of all of it. ``naive``: plain requests until ``reached`` workers had made a call.
    """

    requests: int
    seconds: tuple[float, ...]
    observed: float
    answer: float
    naive: int
    reached: int

    @property
    def above(self) -> float:
        """Milliseconds that a worker took above the app's own answer."""
        return statistics.median(self.seconds) * 1e3 - self.answer


def measure(plan: Plan) -> Iterator[Row]:
    """A row for each server and number of workers, booted anew in each round, in turns."""
    there = [name for name in SERVERS if importlib.util.find_spec(name.partition(" ")[0])]
    cases = [(name, n) for name in there for n in (SIZES if name == PRELOADED and not plan.quick else FEW)]
    found: dict[tuple[str, int], list[Cover]] = {case: [] for case in cases}
    workshop = bare.workshop("process")
    try:
        for _round in range(1 if plan.quick else min(ROUNDS, plan.rounds)):
            for case, boots in found.items():
                boots.append(_boot(workshop, *case))
    finally:
        workshop.close()
    for (name, workers), boots in found.items():
        yield row(name, workers, boots)
    for name in SERVERS.keys() - set(there):
        yield Row(f"requests to cover workers of {name}", f"{name} is not installed here")


def row(name: str, workers: int, boots: list[Cover]) -> Row:
    """What the boots of one server with so many workers come to."""
    above, answer, observed = (
        statistics.median(getattr(one, what) for one in boots) for what in ("above", "answer", "observed")
    )
    odd = [one for one in boots if not one.requests == len(one.seconds) == workers]
    worst = max(boots, key=lambda one: (workers - one.reached, one.naive))
    plain = (
        f"{worst.naive} plain requests"
        if worst.reached == workers
        else (f"{worst.naive} plain requests, which reached {worst.reached}")
    )
    return Row(
        f"requests to cover {workers} workers, {name}",
        f"{max(one.requests for one in boots)}; {above:.0f} ms a worker above the app's own {answer:.0f} ms"
        f" (all of it {observed:.1f} s)",
        f"sending until all have answered: {plain} in the worst of {len(boots)} boots",
        f"{workers}; ≤ {MILLISECONDS:g} ms a worker",
        not odd and above <= MILLISECONDS,
        f"{odd[0].requests} requests for {len(odd[0].seconds)} workers, {workers} wanted" if odd else "",
        {"boots": [asdict(one) for one in boots]},
    )


def _boot(workshop: Workshop, name: str, workers: int) -> Cover:
    words = SERVERS[name]
    fields = {"command": words.replace("<n>", str(workers)).split()} if words else {}
    folder = bare.ROOT / "sample_images" / SAMPLE
    env = {"WEB_CONCURRENCY": str(workers)}
    deployment = keywords.target(folder, bare.ROOT, workshop.defaults, workers=workers, env=env, **fields)
    with workshop.station() as station:
        live = workshop.start(workshop.choose(deployment), station, lambda _line: None)
        try:
            live.wait_until_ready()
            begun = time.monotonic()
            live.request_each_worker()
            observed = time.monotonic() - begun
            drives = [worker.drive for _replica, worker in live.facts().workers if worker.drive]
            request = deployment.requests[0]
            assert isinstance(request, HttpRequest)
            naive, reached = _plain(live, station, request, workers)
            answer = _answer(live, request)
        finally:
            live.stop()
    requests = sum(drive.requests for drive in drives)
    return Cover(requests, tuple(drive.seconds for drive in drives), observed, answer, naive, reached)


def _plain(live: LiveDeployment, station: Station, request: HttpRequest, workers: int) -> tuple[int, int]:
    """Plain requests, each with a connection of its own, until every worker has made a call, and how many had."""
    before = _calls(station.listener.processes())
    until = time.monotonic() + _NAIVE_SECONDS
    asked, reached = 0, 0
    while reached < workers and asked < _NAIVE * workers and time.monotonic() < until:
        with httpx.Client(base_url=_url(live), timeout=60) as client:
            client.request(request.method, request.path, json=request.json).raise_for_status()
        asked += 1
        wanted = sum(before.values()) + asked
        station.listener.wait_for(partial(_told, wanted), _CALL_SECONDS)
        reached = sum(count > before.get(pid, 0) for pid, count in _calls(station.listener.processes()).items())
    return asked, reached


def _told(calls: int, records: Sequence[ProcessRecord]) -> bool:
    return sum(_calls(records).values()) >= calls


def _calls(records: Sequence[ProcessRecord]) -> dict[int, int]:
    """The calls of the model that each process has told of."""
    found: dict[int, int] = {}
    for record in records:
        found[record.pid] = found.get(record.pid, 0) + len(record.of_kind("call"))
    return found


def _url(live: LiveDeployment) -> str:
    (replica,) = live.running.replicas
    at = replica.address()
    assert at
    return f"http://{at.host}:{at.port}"


def _answer(live: LiveDeployment, request: HttpRequest) -> float:
    """The app's own answer time in milliseconds, once every worker has answered before."""
    took: list[float] = []
    with httpx.Client(base_url=_url(live), timeout=60) as client:
        for _ in range(_ASKED):
            begun = time.perf_counter()
            client.request(request.method, request.path, json=request.json).raise_for_status()
            took.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(took)
