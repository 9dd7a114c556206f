"""The generator behind ``make accuracy``: what it lays out must be real Python, and the same for the same seed."""

from __future__ import annotations

import ast
import dataclasses
import re
from random import Random

import pytest

from pytest_llamakey.spec.model import CAUSES, Defaults
from pytest_llamakey.spec.toml import read_deployments
from tools.accuracy.bench import Named, Ran, write
from tools.accuracy.cases import Case, case
from tools.accuracy.choices import NEEDS, TIMINGS, Able, pick
from tools.accuracy.faults import FAULTS, Planted
from tools.accuracy.layout import lay_out
from tools.accuracy.source import NoSuchMark, Source
from tools.accuracy.table import judge, table

ABLE = Able(frozenset(NEEDS.values()), root=True)
SAMPLE = range(150)


@pytest.fixture(scope="module")
def cases():
    return [case(20, number, ABLE) for number in SAMPLE]


def test_every_generated_module_is_python_and_bears_no_mark(cases):
    for made in cases:
        for path, text in made.files.items():
            assert "#@" not in text, (made.number, path)
            if path.endswith(".py"):
                ast.parse(text, f"case {made.number}: {path}")


def test_every_generated_deployment_is_read_by_the_plugin(cases, tmp_path):
    for made in cases[:40]:
        folder = tmp_path / str(made.number)
        write(made, folder)
        (deployment,) = read_deployments(folder / "llamakey.toml", tmp_path, Defaults())
        assert deployment.runtime == "process"
        assert deployment.requests


def test_the_same_seed_gives_the_same_apps_and_another_gives_others(cases):
    assert case(20, 3, ABLE) == cases[3]
    assert case(21, 3, ABLE).files != cases[3].files


def test_right_apps_and_planted_ones_are_both_plenty(cases):
    right = [made for made in cases if not made.planted]
    assert len(right) >= len(cases) // 4
    assert len(cases) - len(right) >= len(cases) // 3
    assert any(len(made.planted) == 2 for made in cases)


def test_a_line_to_name_is_one_of_the_generated_files(cases):
    for made in cases:
        for planted in made.planted:
            assert planted.lines or not planted.marks, (made.number, planted)
            for place in planted.lines:
                path, _, line = place.rpartition(":")
                assert made.files[path].splitlines()[int(line) - 1].strip(), (made.number, place)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.cause}-{fault.name}")
def test_every_fault_finds_apps_that_it_fits_and_changes_them(fault):
    able = dataclasses.replace(ABLE, root=fault.name != "chmod 000")
    assert fault.cause in CAUSES
    rng = Random(5)
    for _try in range(20_000):
        chosen = pick(rng, able)
        if fault.fits(chosen, able):
            break
    else:
        pytest.fail("it fits no app")
    app = lay_out(chosen)
    before = app.files()
    assert fault.plant(app, rng).cause == fault.cause
    assert app.files() != before


def test_all_ways_to_build_a_client_are_drawn():
    rng = Random(1)
    assert {pick(rng, ABLE).timing for _ in range(3000)} == set(TIMINGS)


def test_without_optional_packages_none_is_used():
    rng = Random(2)
    bare = Able(frozenset(), root=False)
    assert not {pick(rng, bare).loading for _ in range(1000)} & set(NEEDS)


def test_a_source_finds_edits_and_moves_its_marked_lines():
    source = Source()
    source.add("app.py", ["import os", "key = os.environ['A']  #@read", "use(key)  #@use,late"])
    source.edit("read", "'A'", "'B'", "blame")
    source.before("use", "check(key)")
    assert source.places("blame") == ("app.py:2",)
    assert source.places("late") == ("app.py:4",)
    assert source.rendered()["app.py"] == "import os\nkey = os.environ['B']\ncheck(key)\nuse(key)\n"
    with pytest.raises(NoSuchMark):
        source.edit("read", "nowhere", "")


def _ran(*found: Named, verdict: str = "fail", workers: tuple[int, ...] = (7, 8)) -> Ran:
    return Ran(0, found, verdict, "", workers, 1.0, 1.0, "")


def _made(*planted: Planted) -> Case:
    return Case(1, 0, {}, planted, "an app")


MANGLED = Planted("key-mangled", ("argument",), "all", ("app.py:4",))


@pytest.mark.parametrize(
    ("planted", "ran", "wrong"),
    [
        ((MANGLED,), _ran(Named("key-mangled", ("app.py:4",), (7, 8), ())), 0),
        ((MANGLED,), _ran(Named("key-mangled", ("app.py:9",), (7, 8), ())), 1),
        ((MANGLED,), _ran(Named("key-mangled", ("app.py:4",), (7,), ())), 1),
        ((MANGLED,), _ran(Named("key-missing", ("app.py:4",), (7, 8), ())), 1),
        ((MANGLED,), _ran(verdict="pass"), 1),
        ((), _ran(verdict="pass"), 0),
        ((), _ran(verdict="error"), 1),
        ((), _ran(Named("key-missing", (), (7,), ())), 1),
    ],
    ids=["right", "line", "workers", "instead", "missed", "right-app", "broken-right-app", "false-alarm"],
)
def test_a_case_is_judged(planted, ran, wrong):
    assert len(judge(_made(*planted), ran).wrong) == wrong


def test_what_is_named_beside_the_planted_cause_is_wrong():
    right = Named("key-mangled", ("app.py:4",), (7, 8), ())
    judged = judge(_made(MANGLED), _ran(right, Named("worker-silent", (), (7,), ())))
    assert judged.wrong == ("worker-silent besides key-mangled",)


def test_the_table_counts_each_cause_and_the_right_apps():
    judged = [
        judge(_made(MANGLED), _ran(Named("key-mangled", ("app.py:9",), (7, 8), ()))),
        judge(_made(), _ran(verdict="pass")),
        judge(_made(), _ran(Named("key-missing", (), (7,), ()))),
    ]
    text = table(judged)
    assert "| `key-mangled` | 1 | 1 | 0 | 1 | 0 | 0 |" in text
    assert "| `key-missing` | 0 | 0 | 0 | 0 | 0 | 1 |" in text
    assert "Right apps: 2, without any finding: 1, false alarms: 1." in text


def test_a_right_app_loads_its_key_before_anything_reads_it():
    """What loads the key stands above the import of the module that reads it, in whichever module it stands."""
    rng = Random(4)
    seen = 0
    while seen < 30:
        chosen = pick(rng, ABLE)
        if (
            chosen.loading == "dotenv-item"
            and chosen.home == "constant"
            and chosen.prelude == "client"
            and chosen.modules
        ):
            seen += 1
            app = lay_out(chosen)
            lines = app.source.files[app.client]
            load = next(i for i, line in enumerate(lines) if "load_dotenv(" in line)
            config = chosen.words.config_module
            reader = next(i for i, line in enumerate(lines) if re.match(rf"from ([\w]+\.)?{config} import", line))
            assert load < reader, lines
