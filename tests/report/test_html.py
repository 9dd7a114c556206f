"""The HTML report without a browser: what stands in it, and that nothing foreign becomes markup."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser

import pytest

from pytest_llamakey.causes import causes, diagnose
from pytest_llamakey.causes.recorded import EMPTY, MATCH, MISSING, app, client, dotenv, keyless, main_process, worker
from pytest_llamakey.checks import judge
from pytest_llamakey.facts import Facts, Replica
from pytest_llamakey.report.html.page import pieces, write
from pytest_llamakey.report.html.tree import layout
from pytest_llamakey.report.html.words import pids
from pytest_llamakey.report.model import (
    DeploymentReport,
    ReplicaReport,
    Report,
    WorkerReport,
    deployment_report,
)
from pytest_llamakey.spec.model import DEFAULT_CHECKS
from tests.counted import calls, grows_with_size

VOID = {"meta", "br"}
KINDS = {"head", "out", "in"}
HOSTILE = "</style></svg><script>owned()</script><img src=x onerror=owned()>\" onload='owned()' {{ 7*7 }} \x1b[2J\u202e"


def reported(facts: Facts, *expect: str) -> DeploymentReport:
    findings = diagnose(facts)
    return deployment_report(
        facts, judge(facts, findings, DEFAULT_CHECKS), findings, expect, {"build": 4.2, "ready": 5}
    )


def page(*deployments: DeploymentReport) -> str:
    return "".join(pieces(Report(1, "0.1.0", "2026-11-23T09:00:00Z", 12.3, None, deployments)))


EARLY = app(
    main_process(environment={}),
    worker(7),
    keyless(8, key=MATCH, key_source="dotenv", clients=(client(0.41, MISSING),), dotenv=(dotenv(0.9),)),
    delivered=("dotenv:.env",),
    expected_workers=2,
)


class Reader(HTMLParser):
    """Every element of a page, its text, and that each end has its start."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def test_a_finding_is_told_with_its_lines_its_timeline_and_its_fix() -> None:
    words = Reader(page(reported(EARLY))).words
    for told in (
        "api is not right",
        "client-before-env breaks wire, rollcall · pid 8",
        'app.py:5 Settings.llm = OpenAI("gpt-4o-mini") main.py:3 load_dotenv()',
        "0.41 s app.py:5 OpenAI(...) built, key: none 0.90 s main.py:3 load_dotenv() sets the key from .env",
        "Fix Run main.py:3 before the client of app.py:5 is built",
        "python -m pytest_llamakey explain client-before-env",
        "web-1: 2 of 2 workers hold the delivered key; 1 with a finding",
        "pid 8, worker, the delivered key from dotenv; client-before-env",
        "1.2 s pid 7 request POST 172.17.0.1:4010/v1/chat/completions authorization: match 200",
        "build 4.2 s ready 5.0 s",
    ):
        assert told in words


def test_the_fix_is_shown_as_a_change_where_it_is_one_of_a_line() -> None:
    reader = Reader(page(reported(app(keyless(dotenv=(dotenv(0.2),), environment={"OPENAI_API_KEY": EMPTY})))))
    assert "--- main.py +++ main.py @@ -3 +3 @@ -load_dotenv() +load_dotenv(override=True)" in reader.words
    kinds = [found["class"] for _tag, found in reader.elements if found.get("class") in KINDS]
    assert kinds == ["head", "head", "head", "out", "in"]
    assert "diff" not in [found.get("class") for _tag, found in Reader(page(reported(EARLY))).elements]


def test_a_known_bad_one_passes_and_says_what_was_expected() -> None:
    words = Reader(page(reported(EARLY, "client-before-env"))).words
    assert "api is right" in words
    assert "fails as expected" in words
    assert "Expected: client-before-env." in words


@pytest.mark.parametrize("cause", causes(), ids=lambda cause: cause.name)
def test_every_example_makes_a_sound_page(cause) -> None:
    reader = Reader(page(*(reported(example.facts) for example in cause.EXAMPLES)))
    ids = [found["id"] for _tag, found in reader.elements if "id" in found]
    assert len(ids) == len(set(ids))
    links = [found["href"] for _tag, found in reader.elements if "href" in found]
    named = " ".join(found["aria-labelledby"] or "" for _tag, found in reader.elements if "aria-labelledby" in found)
    assert {link.removeprefix("#") for link in links if link} | set(named.split()) <= set(ids)


def test_nothing_foreign_becomes_markup() -> None:
    plain = reported(EARLY)
    finding = replace(
        plain.findings[0],
        evidence=(HOSTILE, f"0.10 s {HOSTILE}"),
        fix=HOSTILE,
        hints=(HOSTILE,),
        where=(HOSTILE,),
        source=(HOSTILE,),
        replicas=(HOSTILE,),
    )
    process = replace(plain.replicas[0].workers[2], command=HOSTILE, key_source=HOSTILE)
    hostile = replace(
        plain,
        id=HOSTILE,
        name=HOSTILE,
        runtime=HOSTILE,
        image=HOSTILE,
        findings=(finding,),
        error=f"{HOSTILE}\n{HOSTILE}",
        reasons={"parity": HOSTILE},
        replicas=(ReplicaReport(HOSTILE, (process,)),),
    )
    text = page(hostile, reported(app()))
    elements = Reader(text).elements
    assert {tag for tag, _found in elements} == {
        tag for tag, _found in Reader(page(plain, reported(EARLY))).elements
    } | {"pre"}
    assert not [name for _tag, found in elements for name in found if name.startswith("on") or name in {"src", "style"}]
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "{{ 7*7 }}" in text
    assert text.count("&lt;script&gt;") > 10


def test_only_its_own_style_sheet_is_allowed() -> None:
    text = page(reported(EARLY))
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    style = re.search(r"<style>(.*)</style>", text, re.DOTALL)
    assert policy
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy[1] == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert "http" not in style[1]
    assert "url(" not in style[1]


def test_many_replicas_are_folded_those_to_blame_first() -> None:
    pods = tuple(
        Replica(f"web-{n}", (main_process(), worker(7), keyless(8) if n == 8 else worker(8))) for n in range(10)
    )
    facts = replace(app(), replicas=pods)
    words = Reader(page(reported(replace(facts, deployment=replace(facts.deployment, replicas=10))))).words
    assert "20 workers: 19 with the delivered key, 1 with no key; 1 with a finding" in words
    assert "4 more replicas, none of them with a finding" in words
    assert words.index("web-8: 1 of 2 workers holds the delivered key; 1 with a finding") < words.index("web-0: ")


def process(pid: int, ppid: int) -> WorkerReport:
    return WorkerReport(pid, ppid, "worker", "app", "3.11", "match", "environ")


def test_children_stand_below_their_parent() -> None:
    tree = layout(ReplicaReport("web", (process(1, 0), process(7, 1), process(9, 7), process(8, 1))))
    assert [(node.process.pid, node.x) for node in tree.nodes] == [(1, 18), (7, 44), (9, 70), (8, 44)]
    assert sorted(node.y for node in tree.nodes) == [node.y for node in tree.nodes]
    assert tree.lines.count("M") == 3
    assert all(node.y < tree.height for node in tree.nodes)


def test_many_children_stand_in_a_grid_and_none_is_lost() -> None:
    tree = layout(ReplicaReport("web", (process(1, 0), *(process(10 + n, 1) for n in range(200)))))
    assert len({(node.x, node.y) for node in tree.nodes}) == 201
    assert max(node.x for node in tree.nodes) < tree.width <= 960
    assert max(node.y for node in tree.nodes) < tree.height


def test_processes_that_are_each_others_parents_are_drawn_too() -> None:
    tree = layout(ReplicaReport("web", (process(7, 8), process(8, 7), process(9, 9))))
    assert sorted(node.process.pid for node in tree.nodes) == [7, 8, 9]


def test_a_few_pids_are_named_and_the_others_counted() -> None:
    assert pids([7, 8, 7]) == "pid 7, 8"
    assert pids(range(1, 1002)) == "pid 1, 2, 3, 4, 5, 6, 7, 8 and 993 more"
    assert pids([]) == ""


def test_the_page_is_written_where_there_is_no_folder_yet(tmp_path) -> None:
    path = tmp_path / "out" / "r.html"
    write(Report(1, "0.1.0", "2026-11-23T09:00:00Z", 12.3, None, ()), path)
    assert "No deployment was run" in path.read_text(encoding="utf-8")


def of_pods(count: int) -> DeploymentReport:
    replicas = tuple(ReplicaReport(f"web-{n}", tuple(process(pid, 0) for pid in range(8))) for n in range(count))
    return replace(reported(app()), replicas=replicas, seen_workers=8 * count)


def test_a_page_of_a_thousand_pods_has_them_all() -> None:
    text = page(of_pods(1000))
    assert text.count('<svg class="tree"') == 1000
    assert "8,000 workers: 8,000 with the delivered key; 0 with a finding" in text


def test_writing_a_page_grows_with_the_pods_and_no_faster() -> None:
    page(of_pods(1))  # what is made once in a process is not counted
    assert grows_with_size(*(calls(partial(page, of_pods(pods))) for pods in (8, 16, 32)))
