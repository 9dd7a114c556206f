from __future__ import annotations

from pytest_llamakey.exposure import AT_MOST, SHOWN, sightings

KEY = "sk-llamakey-0123456789"


def test_log_lines_and_answers_that_show_the_key() -> None:
    log = f"starting\nusing key {KEY}!\nready\n".encode()
    found = list(sightings(KEY, "r1", log, [(7, b"fine"), (8, f'{{"key": "{KEY}"}}'.encode())]))
    assert [(each.where, each.place, each.text) for each in found] == [
        ("log", "r1 log line 2", "using key <key>!"),
        ("response", "answer of worker 8", '{"key": "<key>"}'),
    ]


def test_no_sighting_shows_the_key_however_often_it_stands_there() -> None:
    (found,) = sightings(KEY, "r1", f"{KEY} {KEY}".encode(), [])
    assert found.text == "<key> <key>"


def test_a_long_line_is_cut_around_the_key() -> None:
    (found,) = sightings(KEY, "r1", b"a" * 5000 + KEY.encode() + b"b" * 5000, [])
    assert found.text == "a" * (SHOWN // 2) + "<key>" + "b" * (SHOWN // 2)


def test_a_key_cut_at_the_edge_of_what_is_shown_is_not_shown_in_part() -> None:
    line = KEY + "x" * (SHOWN // 2 - 4) + KEY
    (found,) = sightings(KEY, "r1", line.encode(), [])
    assert "sk-l" not in found.text


def test_a_log_full_of_keys_gives_a_bounded_number() -> None:
    assert len(list(sightings(KEY, "r1", f"{KEY}\n".encode() * 1000, []))) == AT_MOST


def test_bytes_that_are_no_text_do_not_hide_it() -> None:
    (found,) = sightings(KEY, "r1", b"\xff" + KEY.encode() + b"\x00", [])
    assert "<key>" in found.text
