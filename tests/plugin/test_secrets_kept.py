"""A real key of the tester's own is nowhere: not in the app, not in any output, not in any file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tools.tiny_app import table

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Bench

EXPORTED = "sk-proj-" + "Exported" * 12
WRITTEN = "sk-proj-" + "Written0" * 12
OTHERS = "sk-ant-" + "Another0" * 8
SECRETS = (EXPORTED, WRITTEN, OTHERS)
PARTS = tuple(secret[8:28] for secret in SECRETS)


def shown(text: str) -> list[str]:
    return [secret[:16] for secret in SECRETS if secret in text] + [part for part in PARTS if part in text]


@pytest.mark.parametrize("key", ["env:OPENAI_API_KEY", "dotenv:.env", "none"])
def test_the_testers_keys_are_nowhere(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", EXPORTED)
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", EXPORTED)
    monkeypatch.setenv("ANTHROPIC_API_KEY", OTHERS)
    seen = tmp_path / "seen.json"
    text = table(key=key, env={"SEEN": str(seen)}, workers=1)
    bench.app(text=text, files={".env": f"OPENAI_API_KEY={WRITTEN}\nANTHROPIC_API_KEY={OTHERS}\nDEBUG=1\n"})
    # Temporary files are looked at while the app runs, too.
    bench.pytester.makeconftest(
        f"""
        import pathlib, tempfile
        def pytest_runtest_logreport(report): look()
        def look():
            for path in pathlib.Path(tempfile.gettempdir()).rglob("*"):
                if path.is_file() and any(part in path.read_bytes().decode("latin-1") for part in {PARTS!r}):
                    print("LEAKED into", path)
        from pytest_llamakey.live import LiveDeployment
        driven = LiveDeployment.request_each_worker
        def look_then_drive(self):
            look()
            driven(self)
        LiveDeployment.request_each_worker = look_then_drive
        """
    )
    result = bench.run("-v", "-s", "--llamakey-report", "r.json", f"--junit-xml={bench.root / 'junit.xml'}")
    assert sum(result.parseoutcomes().get(word, 0) for word in ("passed", "failed")) == 5
    assert shown(result.stdout.str() + result.stderr.str()) == []
    result.stdout.no_fnmatch_line("LEAKED*")
    assert shown((bench.root / "r.json").read_text() + (bench.root / "junit.xml").read_text()) == []
    app = json.loads(seen.read_text())
    assert shown(json.dumps(app)) == []
    assert "DEBUG=1" in app["files"][".env"]
    left = [path for path in (*tmp_path.rglob("*"), *bench.temporary.rglob("*")) if path.is_file()]
    assert [str(path) for path in left if shown(path.read_bytes().decode("latin-1"))] == []


def test_only_what_the_contract_names_comes_from_the_tester(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LC_TIME", "C")
    monkeypatch.setenv("SECRET_OF_MINE", "x")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    seen = tmp_path / "seen.json"
    bench.app(text=table(env={"SEEN": str(seen), "MINE": "yes"}, workers=1))
    bench.run("-k", "keyed").assert_outcomes(passed=1)
    names = set(json.loads(seen.read_text())["environ"])
    own = {"SEEN", "MINE", "OPENAI_API_KEY", "OPENAI_API_BASE", "OPENAI_BASE_URL"}
    locale = {name for name in names if name.startswith("LC_")}
    assert names - locale - {"PATH", "HOME", "LANG", "TMPDIR"} == own
    assert "LC_TIME" in names


def test_the_key_under_test_is_not_shown_either(bench: Bench) -> None:
    bench.app(text=table(mode="echo", workers=1))
    result = bench.run("-v", "--llamakey-report", "r.json")
    assert "sk-llamakey-" not in result.stdout.str() + (bench.root / "r.json").read_text()
