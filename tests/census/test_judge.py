"""What a census suggests, on places that were never there."""

from __future__ import annotations

import pytest

from pytest_llamakey.census.judge import names_in, suspicions
from pytest_llamakey.census.model import Changed, Held, Place, Process, processes

KEY, OTHER = "sk-…11111111", "sk-…22222222"


def process(pid: int, key: str | None = KEY, ppid: int = 1, started: float = 100.0, **more: object) -> Process:
    held = {} if key is None else {"OPENAI_API_KEY": Held(key)}
    fields = {"command": ("gunicorn",), "python": True, "user": 0, "role": "worker", "held": held, **more}
    return Process(pid=pid, ppid=ppid, started=started, **fields)


def told(*places: Place, variables: tuple[str, ...] = ()) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(one.cause, one.place, one.pids) for one in suspicions(places, variables)]


def test_all_the_same_is_nothing() -> None:
    assert told(Place("a", (process(1, ppid=0), process(7), process(8)))) == []


def test_nobody_has_it() -> None:
    dotenv = (Changed("/app/.env", 50.0),)
    place = Place("a", (process(7, None, files=dotenv), process(8, None)))
    (found,) = suspicions([place])
    assert (found.cause, found.pids) == ("key-missing", (7, 8))
    assert "/app/.env is there, and what is loaded of it later cannot be seen from outside" in found.told


@pytest.mark.parametrize("declared", [None, {"OPENAI_API_KEY": Held(KEY)}])
def test_a_launcher_cleared_it(declared) -> None:
    first = process(1, KEY if declared is None else None, ppid=0, python=False, role="")
    place = Place("a", (first, process(7, None)), declared=declared)
    assert told(place) == [("env-cleared", "a", (7,))]


def test_an_empty_value() -> None:
    place = Place("a", (process(7, ""),))
    assert told(place) == [("key-missing", "a", (7,))]
    composed = Place("a", place.processes, composed=True)
    assert told(composed) == [("variable-unset", "a", (7,))]
    assert [one.other for one in (*suspicions([place]), *suspicions([composed]))] == ["variable-unset", "key-missing"]


def test_an_odd_value_is_told_once() -> None:
    odd = {"OPENAI_API_KEY": Held(KEY, ("quotes", "white space"))}
    (found,) = suspicions([Place("a", (process(7, held=odd), process(8, held=odd)))])
    assert (found.cause, found.pids) == ("key-mangled", (7, 8))
    assert "quotes and white space" in found.told


def test_the_older_of_two_values_is_the_stale_one() -> None:
    place = Place("a", (process(7, OTHER, started=10.0), process(8, started=20.0), process(9, OTHER, started=11.0)))
    assert told(place) == [("stale-key", "a", (7, 9))]


def test_one_replica_of_many_is_stale() -> None:
    old, new = process(7, OTHER, started=10.0), process(7, started=20.0)
    assert told(Place("web-1", (old,), kin="web"), Place("web-2", (new,), kin="web")) == [("stale-key", "web-1", (7,))]


def test_parts_that_are_not_alike_are_told_without_a_cause() -> None:
    web, worker = Place("web-1", (process(7),), kin="web"), Place("worker-1", (process(7, OTHER),), kin="worker")
    assert told(web, worker) == [("", "worker-1", (7,))]


def test_another_value_than_the_container_was_given() -> None:
    place = Place("a", (process(1, ppid=0), process(7, OTHER)), declared={"OPENAI_API_KEY": Held(KEY)})
    assert told(place) == [("key-overwritten", "a", (7,))]


def test_started_before_the_source_changed() -> None:
    place = Place("a", (process(7, started=10.0), process(8, started=30.0)), changed=(Changed("secret/openai", 20.0),))
    assert told(place) == [("stale-key", "a", (7,))]


def test_a_dotenv_counts_only_where_the_environment_has_no_key() -> None:
    dotenv = (Changed("/app/.env", 200.0),)
    assert told(Place("a", (process(7, files=dotenv),))) == []
    assert ("stale-key", "a", (7,)) in told(Place("a", (process(7, None, files=dotenv),)))


def test_what_says_nothing_of_an_environments_key_counts_only_without_one() -> None:
    renewed = (Changed("/etc/ssl/web.pem", 200.0, keyless=True),)
    assert told(Place("a", (process(7),), changed=renewed)) == []
    assert ("stale-key", "a", (7,)) in told(Place("a", (process(7, None),), changed=renewed))


def test_what_may_not_be_seen_is_not_judged() -> None:
    assert told(Place("a", (process(7, held=None), process(8)))) == []


def test_variables_that_are_asked_for() -> None:
    place = Place("a", (process(7),))
    assert names_in([place]) == ["OPENAI_API_KEY"]
    assert names_in([Place("a", ())]) == ["OPENAI_API_KEY"]
    assert told(place, variables=("MY_KEY",)) == [("key-missing", "a", (7,))]


def test_parts_that_hold_other_variables_are_not_held_to_each_others() -> None:
    azure = process(7, held={"AZURE_OPENAI_API_KEY": Held(KEY)})
    web, other = Place("web-1", (process(7),), kin="web"), Place("azure-1", (azure,), kin="azure")
    metrics = Place("metrics-1", (process(7, None),), kin="metrics")
    assert told(web, other, metrics) == []
    assert ("key-missing", "metrics-1", (7,)) in told(web, metrics, variables=("OPENAI_API_KEY",))
    assert told(web, Place("web-2", (process(7, None),), kin="web"), metrics) == [("key-missing", "web-2", (7,))]


def test_roles() -> None:
    def row(pid: int, ppid: int, *command: str) -> dict:
        return {
            "pid": pid,
            "ppid": ppid,
            "command": command,
            "python": command[0] == "python3",
            "user": 0,
            "unit": "",
            "started": 1.0,
            "seen": None,
        }

    rows = [
        row(1, 0, "sh"),
        row(7, 1, "python3", "gunicorn"),
        row(8, 7, "python3", "gunicorn"),
        row(9, 7, "python3", "-c", "from multiprocessing.resource_tracker import main;main(3)"),
    ]
    assert [one.role for one in processes(rows)] == ["", "main", "worker", "helper"]
