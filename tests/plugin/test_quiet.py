"""Without ``--llamakey`` the plugin does nothing and costs nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Bench

ROOT = Path(__file__).parents[2]
HEAVY = [
    "testcontainers",
    "docker",
    "respx",
    "httpx",
    "openai",
    "llama_index",
    "rich",
    "jinja2",
    "pydantic",
    "psutil",
    "trustme",
    "websockets",
]
FOUND = f"[name for name in {HEAVY!r} if name in sys.modules]"


def test_importing_the_plugin_imports_nothing_heavy() -> None:
    code = f"import pytest_llamakey.plugin, sys; print({FOUND})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


def test_nothing_is_collected_or_imported(bench: Bench) -> None:
    bench.app()
    bench.pytester.makeconftest(f"import sys\ndef pytest_unconfigure(): print('heavy:', {FOUND})")
    bench.pytester.makepyfile("def test_of_theirs(): pass")
    result = bench.run("-v", llamakey=False)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines("heavy: []")
    result.stdout.no_fnmatch_line("*llamakey.toml*")
    assert bench.left_over == []


def test_the_search_for_heavy_modules_can_fail(bench: Bench) -> None:
    bench.app()
    bench.pytester.makeconftest(f"import sys\ndef pytest_unconfigure(): print('heavy:', {FOUND})")
    bench.run("--collect-only").stdout.fnmatch_lines("heavy: [[]*'pydantic'*")


def test_tests_that_use_the_fixtures_are_skipped_with_the_reason(bench: Bench) -> None:
    bench.pytester.makepyfile(
        """
        def test_key(llamakey_key): raise AssertionError
        def test_openai(llamakey_openai): raise AssertionError
        def test_image(llamakey_image): raise AssertionError
        def test_deploy(llamakey_deploy): raise AssertionError
        """
    )
    result = bench.run("-rs", llamakey=False)
    result.assert_outcomes(skipped=4)
    result.stdout.fnmatch_lines("SKIPPED*run pytest with --llamakey*")


def test_help_markers_and_fixtures_show_ours(bench: Bench) -> None:
    shown = bench.run("--help", llamakey=False).stdout.str()
    for option in ("runtime", "checks", "report", "html", "build-arg", "timeout", "keep"):
        assert f"--llamakey-{option}" in shown
    for ini in ("runtime", "checks", "report", "html", "build_args", "timeout", "keep"):
        assert f"llamakey_{ini} (" in shown
    bench.run("--markers", llamakey=False).stdout.fnmatch_lines("@pytest.mark.llamakey:*-m llamakey*")
    fixtures = bench.run("--fixtures", llamakey=False).stdout
    for name in ("llamakey_key", "llamakey_openai", "llamakey_image", "llamakey_deploy"):
        fixtures.fnmatch_lines([f"{name}*", "    ?*"], consecutive=True)
