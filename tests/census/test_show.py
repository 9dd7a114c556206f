"""The last words of a census: what it can answer for, and what not."""

from __future__ import annotations

import io

from rich.console import Console

from pytest_llamakey.census.judge import suspicions
from pytest_llamakey.census.model import Held, Place, Process, Unread
from pytest_llamakey.census.show import show

SECRET = Unread("secret/openai", "takes the right to `get` secrets")


def process(held: dict[str, Held] | None) -> Process:
    return Process(7, 1, ("gunicorn",), python=True, user=0, started=1.0, role="worker", held=held)


def last_words(*places: Place) -> str:
    shown = io.StringIO()
    show(Console(file=shown, width=200), places, suspicions(places), ["OPENAI_API_KEY"])
    return shown.getvalue().rpartition("\n\n")[2].strip()


WELL = process({"OPENAI_API_KEY": Held("sk-…11111111")})


def test_all_was_seen() -> None:
    assert last_words(Place("a", (WELL,))) == "Nothing suspicious: every process was started with the same key."


def test_what_could_not_be_seen_is_told_once() -> None:
    places = [Place(name, (WELL,), unread=(SECRET,), kin="web") for name in ("a", "b")]
    assert last_words(*places) == (
        "Nothing suspicious in what could be read; not looked at: secret/openai (takes the right to `get` secrets)."
    )


def test_so_are_processes() -> None:
    assert last_words(Place("a", (WELL, process(None)))) == (
        "Nothing suspicious in what could be read; not looked at: 1 process (ask as root, or as the user they run as)."
    )


def test_also_beside_a_suspicion_and_where_nothing_runs() -> None:
    told = "Not looked at, and so not judged: secret/openai (takes the right to `get` secrets)."
    assert last_words(Place("a", (process({}),), unread=(SECRET,))).endswith(told)
    assert last_words(Place("a", (), unread=(SECRET,))).endswith(f"No Python process was found.\n{told}")


def test_each_cause_that_may_be_it_has_its_page_named() -> None:
    empty, odd = process({"OPENAI_API_KEY": Held("")}), process({"OPENAI_API_KEY": Held("sk-…11111111", ("quotes",))})
    shown = io.StringIO()
    places = [Place("a", (empty,), kin="web"), Place("b", (odd,), kin="web")]
    show(Console(file=shown, width=200), places, suspicions(places), ["OPENAI_API_KEY"])
    assert "key-missing or variable-unset? a: pid 7 started with OPENAI_API_KEY set to nothing" in shown.getvalue()
    assert last_words(*places) == (
        "What a cause is, and how it is mended:\n"
        "  python -m pytest_llamakey explain key-missing\n"
        "  python -m pytest_llamakey explain variable-unset\n"
        "  python -m pytest_llamakey explain key-mangled\n"
        "This is seen from outside, from what each process was started with; `pytest --llamakey` proves it, call by "
        "call."
    )
