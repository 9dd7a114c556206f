"""Hostile input: files, messages of the probe, HTTP, and what an app writes. A clear error, or nothing at all."""

from __future__ import annotations

import json
import re
import signal
import tempfile
import unicodedata
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_llamakey.lines.sources import sources
from pytest_llamakey.report.safe_text import safe
from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.secrecy.delivery import deliver
from pytest_llamakey.secrecy.keys import Secrets
from pytest_llamakey.secrecy.masked import for_a_test, quoted
from pytest_llamakey.spec import dockerfile, manifests, other
from pytest_llamakey.spec.model import Defaults, SpecError
from pytest_llamakey.spec.toml import read_deployments
from tools import tiny_app
from tools.tiny_app import server, table
from tools.torture import fuzz_http, fuzz_wire
from tools.torture.cases import Broken, Case, Tally, hold
from tools.torture.fuzz_files import BOMBS, COMPOSE, DOCKERFILE, MANIFEST, TOML, UNIT
from tools.torture.memory import bounded

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_llamakey.spec.model import Deployment
    from tools.torture.bench import Bench

SLOWEST = 5.0
"""Seconds of a processor that reading one file may take."""
LONGEST = 60.0
"""Seconds that it may take on a machine that has other work as well."""
MEMORY = 512 * 1024
"""KiB by which a case may make the process grow."""
FEW, MANY = 60, 1500


def tried(
    count: int, strategy: st.SearchStrategy[Any], check: Callable[[Any], None], first: tuple[str, ...] = ()
) -> Tally:
    """Try ``count`` examples, those of ``first`` before them.

    Raises:
        Broken: one was not survived (the smallest such that was found), or took too long or too much memory.
    """
    seen = 0

    def one(example: Any) -> None:
        nonlocal seen
        seen += 1
        signal.setitimer(signal.ITIMER_PROF, SLOWEST)
        signal.setitimer(signal.ITIMER_REAL, LONGEST)
        try:
            check(example)
        except Exception as error:
            raise Broken(f"{type(error).__name__}: {error} ({example!r:.300})") from error
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)

    def ring(*_: object) -> None:
        raise TimeoutError(f"no end within {SLOWEST:.0f} s of a processor, or {LONGEST:.0f} s in all")

    former = {number: signal.signal(number, ring) for number in (signal.SIGPROF, signal.SIGALRM)}
    try:
        with bounded(MEMORY):
            for example in first:
                one(example)
            quiet = settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
            quiet(given(strategy)(one))()
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
    return Tally(seen, seen)


@st.composite
def spoiled(draw: st.DrawFn, text: str) -> str:
    """``text`` with pieces cut out, doubled, moved, or replaced by anything."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 40)))
        words = st.sampled_from(
            [
                "",
                text[start:end] * 2,
                "\n",
                "{",
                "}",
                "[",
                '"',
                "'",
                "null",
                "-1",
                "${",
                "\\",
                ": ",
                "=",
                "\x1b[2J",
                "~",
                "9" * 40,
                "*a",
                "&a ",
                "<<: ",
                "!!x ",
            ]
        )
        text = text[:start] + draw(words | st.text(max_size=12)) + text[end:]
    return text


def _read(name: str, read: Callable[[Path, Path], Deployment], text: str) -> None:
    with tempfile.TemporaryDirectory(prefix="torture-") as place:
        root = Path(place)
        path = root / name
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        (root / "app.py").touch()
        with suppress(SpecError, RuntimeFault):
            for deployment in read(path, root):
                if deployment.runtime == "kubernetes":
                    manifests.read(deployment)
                deliver(deployment, "sk-llamakey-1", "http://127.0.0.1:1")
                sources(deployment, root, Secrets.fresh(), {})


def _toml(path: Path, root: Path) -> tuple[Deployment, ...]:
    return read_deployments(path, root, Defaults())


def _dockerfile(path: Path, root: Path) -> tuple[Deployment, ...]:
    return (dockerfile.deployment_of(path, root, Defaults()),)


def _other(path: Path, root: Path) -> tuple[Deployment, ...]:
    return (other.deployment_of(path, root, Defaults()),)


def _files(name: str, read: Any, text: str, count: int, _place: Bench) -> Tally:
    anything = st.text(max_size=200) | st.binary(max_size=200).map(
        lambda data: data.decode("utf-8", "surrogateescape").encode("utf-8", "replace").decode()
    )
    return tried(count, spoiled(text) | anything, partial(_read, name, read), BOMBS)


def _values(count: int, _place: Bench) -> Tally:
    """Every field of ``llamakey.toml`` with any kind of value."""
    from pytest_llamakey.spec.schema import DeploymentTable

    leaf = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30)
    value = st.recursive(
        leaf,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=8), inner, max_size=3),
        max_leaves=6,
    )
    fields = st.dictionaries(st.sampled_from(sorted(DeploymentTable.model_fields)), value, min_size=1, max_size=4)

    def check(given_: dict[str, Any]) -> None:
        import tomlkit

        plain = json.loads(json.dumps(given_), parse_constant=lambda _: 0)
        text = tomlkit.dumps({"deployment": [_without_none(plain)]})
        _read("llamakey.toml", _toml, text)

    return tried(count, fields, check)


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_none(each) for name, each in value.items() if each is not None}
    return [_without_none(each) for each in value if each is not None] if isinstance(value, list) else value


def _texts(count: int, _place: Bench) -> Tally:
    """What is quoted of an app: no control character is left, and no key."""
    secrets, key = Secrets.fresh(), "sk-proj-" + "aB3dE6gH9jK2mN5pQ8sT1vW4" * 2

    def check(pieces: list[str]) -> None:
        text = key.join(pieces)
        shown = safe(quoted(text, secrets))
        hold(key not in shown or key not in text, f"a key is shown: {shown!r:.300}")
        hold(
            all(character.isprintable() or unicodedata.category(character) == "Zs" for character in shown),
            f"not fit for a terminal: {shown!r:.300}",
        )
        for_a_test(text, secrets)

    separators = st.sampled_from([" ", "=", '"', ": ", "\n", "\x1b[31m", "Bearer ", "key ", "(", ","])
    return tried(
        count,
        st.lists(st.builds("{}{}".format, st.text(max_size=60), separators), min_size=1, max_size=5),
        check,
        (["x" * 2_000_000], ["key=" * 200_000], ["\x1b[2J" * 100_000], ['"' * 500_000]),
    )  # type: ignore[arg-type]


# Terminal escapes, bidirectional overrides, markup for the browser and for rich, a line of megabytes, bytes that are no text.
LOUD = r"""
def tell(text):
    sys.stdout.buffer.write(text)
    sys.stdout.flush()
EVIL = b"\x1b[2J\x1b]0;owned\x07\x1b[31mred \xe2\x80\xae txet <script>alert('owned')</script><img src=x onerror=alert('owned')> [bold]rich[/bold] [/nope] ]]> &amp; ::error file=x::owned \xff\xfe\x00\r overwritten\n"
tell(EVIL * 3)
for _ in range(MANY):
    tell(b"y" * 4_000_000 + b"\n")
tell(EVIL)
"""
ASKED = """
def asked():
    tell(EVIL)
    status, body = call("sk-wrong-" + KEY[-5:], BASE)
    return 502, EVIL + body
"""


PEAK = """
def pytest_unconfigure():
    status = open("/proc/self/status").read()
    open({place!r}, "w").write(status.partition("VmHWM:")[2].split()[0])
"""
"""A conftest.py that tells how many KiB pytest took at most."""
LINES = 50
"""Lines of four megabytes that an app writes in containers."""
GROWTH = 128 * 1024
"""KiB that pytest may take more for those than for an app that is quiet: less than the app has written."""


def _loud(place: Bench, *, dies: bool, runtime: str = "process", lines: int = 1) -> Tally:
    last = '\nraise RuntimeError(EVIL.decode("latin-1") + "z" * 1_000_000)' if dies else ""
    outer = place.folder.parent
    peak = outer / "peak"
    place.write({"llamakey.toml": table(), "Dockerfile": tiny_app.DOCKERFILE})
    place.write({"conftest.py": PEAK.format(place=str(peak)), "server.py": server()})
    before = _quiet(place, runtime, peak) if lines > 1 else 0
    place.write({"server.py": server(f"MANY = {lines}\n{LOUD}{ASKED}{last}")})
    place.environment |= {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(outer / "summary.md")}
    page = outer / "page.html"
    ran = place.run(runtime, "-vv", "--llamakey-html", str(page), "--junit-xml", str(outer / "junit.xml"))
    hold(ran.verdicts == ["error" if dies else "fail"], f"{ran.verdicts}\n{ran.output[-1500:]}")
    hold(dies or ran.causes == ["hardcoded-key"], f"{ran.causes}")
    grown = int(peak.read_text()) - before
    hold(not before or grown < GROWTH, f"pytest grew by {grown} KiB")
    _fit_for_a_terminal(ran.output)
    html = page.read_text()
    for mark in ("<script>alert", "<img src=x"):
        hold(mark not in html and mark not in (outer / "summary.md").read_text(), f"{mark} reached a page")
    hold(len(html) < 3_000_000, f"the page has {len(html)} characters")
    import xml.dom.minidom

    xml.dom.minidom.parse(str(outer / "junit.xml"))  # noqa: S318 - written by pytest; it must be well-formed
    place.nothing_left()
    return Tally(1, 1, f"pytest grew by {grown // 1024} MiB, the app wrote {lines * 4} MB" if before else "")


def _fit_for_a_terminal(output: str) -> None:
    for mark in ("\x1b", "\u202e", "\x07", "\x00", "\r"):
        hold(mark not in output, f"{mark!r} reached the terminal")
    hold("\n::error file=x::owned" not in output, "a line of the app's became a command of GitHub's")
    hold(len(output) < 1_000_000, f"{len(output)} characters on the terminal")


def _loud_service(place: Bench, *, runtime: str) -> Tally:
    """A service beside the app writes them and ends."""
    service: dict[str, object] = {"command": ["python", "-c", f"import sys\nMANY = 3\n{LOUD}"]}
    service |= {"port": 8099} if runtime == "process" else {"build": "."}
    files = {"server.py": server(), "Dockerfile": tiny_app.DOCKERFILE, "llamakey.toml": table(services={"b": service})}
    place.write(files)
    place.environment["GITHUB_ACTIONS"] = "true"
    page = place.folder.parent / "page.html"
    ran = place.run(runtime, "-vv", "--llamakey-html", str(page))
    hold(ran.verdicts == ["error"] and "service b ended" in ran.errors, f"{ran.verdicts}\n{ran.output[-1500:]}")
    _fit_for_a_terminal(ran.output)
    hold("<script>alert" not in page.read_text(), "it reached a page")
    place.nothing_left()
    return Tally(1, 1, f"{len(ran.errors)} characters are quoted")


def _loud_build(place: Bench) -> Tally:
    """A step of the build writes them and fails."""
    failing = f"{tiny_app.DOCKERFILE}COPY loud.py ./\nRUN python loud.py && false\n"
    place.write({"server.py": server(), "loud.py": f"import sys\nMANY = 3\n{LOUD}", "Dockerfile": failing})
    place.write({"llamakey.toml": table()})
    place.environment["GITHUB_ACTIONS"] = "true"
    ran = place.run("docker", "-vv")
    hold(ran.verdicts == ["error"] and "failed at step" in ran.errors, f"{ran.verdicts}\n{ran.output[-1500:]}")
    _fit_for_a_terminal(ran.output)
    place.nothing_left()
    return Tally(1, 1, f"{len(ran.errors)} characters are quoted")


def _quiet(place: Bench, runtime: str, peak: Path) -> int:
    """KiB that pytest takes for an app that is quiet."""
    ran = place.run(runtime)
    hold(ran.verdicts == ["pass"], f"{ran.verdicts}\n{ran.output[-1500:]}")
    return int(peak.read_text())


def _collected(place: Bench) -> Tally:
    """Each bomb is collected from a folder of its own: an error for each, and no traceback."""
    for number, bomb in enumerate(BOMBS):
        folder = place.folder / f"bomb{number}"
        folder.mkdir()
        (folder / "llamakey.toml").write_text(bomb)
    ran = place.run("process", "--collect-only", "--continue-on-collection-errors")
    told = set(re.findall(r"^ERROR bomb(\d+)/llamakey\.toml", ran.output, re.MULTILINE))
    hold(len(told) == len(BOMBS), f"{len(told)} of {len(BOMBS)} are told as errors\n{ran.output[-1500:]}")
    hold("Traceback" not in ran.output, f"a traceback\n{ran.output[-1500:]}")
    hold(len(ran.output) < 200_000, f"{len(ran.output)} characters on the terminal")
    place.nothing_left()
    return Tally(len(BOMBS), len(BOMBS))


def _both(name: str, run: Callable[..., Tally]) -> tuple[Case, Case]:
    """A case at full length, and the short one of ``make test``."""
    return Case(name, partial(run, MANY)), Case(f"{name} (short)", partial(run, FEW), short=True)


CASES = (
    *_both("llamakey.toml, spoiled", partial(_files, "llamakey.toml", _toml, TOML)),
    *_both("llamakey.toml, any value in any field", _values),
    *_both("Dockerfile", partial(_files, "Dockerfile", _dockerfile, DOCKERFILE)),
    *_both("compose.yaml", partial(_files, "compose.yaml", _other, COMPOSE)),
    *_both("Kubernetes manifests", partial(_files, "app.yaml", _other, MANIFEST)),
    *_both("systemd units", partial(_files, "app.service", _other, UNIT)),
    *_both("what is quoted of an app", _texts),
    Case("an app that logs and answers escapes, markup and lines of megabytes", partial(_loud, dies=False), short=True),
    Case("pytest collects bombs", _collected, short=True),
    Case("an app that dies with them", partial(_loud, dies=True)),
    Case(
        "containers: an app that logs and answers them",
        partial(_loud, dies=False, runtime="docker", lines=LINES),
        engine=True,
    ),
    Case(
        "containers: an app that dies with them", partial(_loud, dies=True, runtime="docker", lines=LINES), engine=True
    ),
    Case("processes: a service that dies with them", partial(_loud_service, runtime="process")),
    Case("containers: a service that dies with them", partial(_loud_service, runtime="docker"), engine=True),
    Case("containers: a build that fails with them", _loud_build, engine=True),
    *fuzz_wire.CASES,
    *fuzz_http.CASES,
)
