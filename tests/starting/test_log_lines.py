"""The last lines of a log, as they are told."""

from __future__ import annotations

import pytest

from pytest_llamakey.starting.log_lines import ends_in_error, folded, log_tail, tells_trouble

REFUSED = 'INFO:     127.0.0.1:{} - "GET /healthz HTTP/1.1" 404 Not Found'
DIED = """Process SpawnProcess-{}:
Traceback (most recent call last):
  File "app.py", line 2, in <module>
    import shop
ModuleNotFoundError: No module named 'shop'"""


class Log:
    def __init__(self, text: str) -> None:
        self.text = text

    def logs(self) -> bytes:
        return self.text.encode()


def told(text: str) -> list[str]:
    return [line.removeprefix("    ") for line in log_tail(Log(text)).splitlines()[2:]]  # type: ignore[arg-type]


def test_only_the_last_lines_are_told() -> None:
    lines = [f"line {chr(65 + number % 26)}{chr(65 + number // 26)}" for number in range(100)]
    tail = log_tail(Log("\n".join(lines)))  # type: ignore[arg-type]
    assert tail.splitlines()[1:] == ["Its last log lines:", *(f"    {line}" for line in lines[80:])]


def test_silence_is_told_too() -> None:
    assert log_tail(Log(" \n")) == "\nIt wrote nothing to its log."  # type: ignore[arg-type]


def test_of_megabytes_without_a_space_no_more_is_told_than_of_a_line() -> None:
    assert len(told("y" * 4_000_000)[-1]) == 800


def test_a_long_line_is_cut_at_the_end_of_a_word() -> None:
    assert told("a" * 395 + " sk-proj-0123456789 and more words")[-1].endswith(" sk-proj-0123456789")


def test_like_lines_are_told_once_and_leave_room_for_what_was_before() -> None:
    text = "\n".join(["Started", *(REFUSED.format(40000 + number) for number in range(37)), "end"])
    assert told(text) == ["Started", REFUSED.format(40036), "… (repeated 37 times)", "end"]


def test_a_few_lines_that_come_twice_are_left_in_their_order() -> None:
    booted = ["Started 1", "Waiting", "Started 2", "Waiting"]
    refused = [REFUSED.format(40000 + number) for number in range(9)]
    assert folded([*booted, *refused]) == [*booted, REFUSED.format(40008), "… (repeated 9 times)"]


def test_a_traceback_that_comes_again_is_told_once() -> None:
    text = "\n".join(["Started", *(DIED.format(number) for number in range(4))])
    assert told(text) == ["Started", *DIED.format(3).splitlines(), "… (these 5 lines repeated 4 times)"]


@pytest.mark.parametrize("lines", [[], ["a"], ["a", "a"], ["a", "b", "c", "a", "c"], ["a1", "b", "a2"]])
def test_what_is_not_alike_stays(lines: list[str]) -> None:
    assert folded(lines) == lines


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        (DIED, True),
        (f"{DIED}\nINFO: Waiting for child process [7]\nINFO: Child process [7] died", True),
        (f"{DIED}\n" + "INFO: served\n" * 20, False),
        ("Booting", False),
        ("", False),
    ],
)
def test_a_log_that_ends_in_a_traceback(text: str, ends: bool) -> None:
    assert ends_in_error(text) is ends


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2026-01-01 ERROR shop: no database", True),
        ("ValueError: no", True),
        ("error: unknown option", True),
        (DIED, True),
        ("errors: 0", False),
        ("all is well", False),
    ],
)
def test_a_log_that_tells_of_trouble(text: str, told: bool) -> None:
    assert tells_trouble(text) is told
