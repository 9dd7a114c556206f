"""Which files a unit's keys come from, by what systemctl prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.census.credentials import credentials
from pytest_llamakey.census.model import Source, Unread
from pytest_llamakey.census.units import sources_of
from pytest_llamakey.spec import unit
from pytest_llamakey.spec.unit_choice import delivered_by

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SHOWN = (
    "EnvironmentFiles=/etc/app/nowhere.env (ignore_errors=yes)\nEnvironmentFiles=/etc/app/app.env (ignore_errors=no)\n"
    "FragmentPath=/etc/systemd/system/app.service\nDropInPaths=/run/a.conf /run/b.conf\n"
)
FOLDERS = ("/run/credentials/@system", "/etc/credstore", "/run/credstore", "/usr/local/lib/credstore")


class Ground:
    """A place in which systemctl prints these texts, by its verb."""

    name = "here"

    def __init__(self, shown: str, cat: str) -> None:
        self.printed = {"show": shown, "cat": cat}

    def visit(self, request: Mapping[str, object]) -> Mapping[str, object]:
        raise NotImplementedError

    def output(self, command: Sequence[str]) -> str:
        return self.printed[command[1]]


def told(lines: str, unit: str = "app.service") -> tuple[list[Source], list[Unread]]:
    return credentials(f"# /etc/systemd/system/{unit}\n[Unit]\nLoadCredential=x:/y\n[Service]\n{lines}\n", unit)


def test_its_own_files_those_of_its_environment_and_of_its_credentials() -> None:
    sources, unread = sources_of(Ground(SHOWN, "[Service]\nLoadCredential=api-key:/etc/app/k\n"), "app.service")
    assert sources == [
        Source("/etc/app/nowhere.env", required=False),
        Source("/etc/app/app.env"),
        Source("/etc/systemd/system/app.service"),
        Source("/run/a.conf"),
        Source("/run/b.conf"),
        Source("/etc/app/k"),
    ]
    assert unread == []


@pytest.mark.parametrize("shown", ["", "FragmentPath=\nDropInPaths=\n"])
def test_without_systemctl_or_such_a_unit_that_is_told(shown: str) -> None:
    why = "`systemctl show` fails there, or knows no such unit"
    assert sources_of(Ground(shown, ""), "app.service") == ([], [Unread("the files of app.service", why)])


def test_what_is_set_in_the_unit_has_no_source_but_that() -> None:
    assert told("SetCredential=openai_key:sk-1") == ([], [])


def test_one_with_another_value_at_hand_may_be_missing() -> None:
    found, _ = told("LoadCredential=openai_key:/etc/k\nSetCredential=openai_key:none\nLoadCredential=b:/etc/b")
    assert found == [Source("/etc/k", required=False), Source("/etc/b", keyless=True)]


def test_one_whose_name_says_nothing_of_a_key_counts_where_the_environment_has_none() -> None:
    found, _ = told("LoadCredential=tls:/etc/ssl/web.pem\nLoadCredentialEncrypted=openai:/etc/openai_key.cred")
    assert found == [Source("/etc/ssl/web.pem", keyless=True), Source("/etc/openai_key.cred")]


@pytest.mark.parametrize(
    "line", ["openai:/etc/keys/openai", "k:/etc/openai_key.txt", "llm-key:/etc/k", "api:/etc/api.pem"]
)
def test_a_census_and_a_run_agree_on_what_is_a_key(tmp_path: Path, line: str) -> None:
    (tmp_path / "app.service").write_text(f"[Service]\nLoadCredential={line}\n")
    (source,), _ = told(f"LoadCredential={line}")
    assert source.keyless == (delivered_by(unit.read(tmp_path / "app.service", "app.service")) is None)
    assert source.keyless == (line == "api:/etc/api.pem")


def test_the_last_of_a_name_and_what_was_reset() -> None:
    found, _ = told("LoadCredential=a:/etc/a\nLoadCredential=\nLoadCredential=b:/etc/b\nLoadCredential=b:/etc/c")
    assert [one.path for one in found] == ["/etc/c"]


@pytest.mark.parametrize("line", ["LoadCredential=openai_key", "LoadCredential=x:openai_key"])
def test_without_a_path_it_lies_in_a_store(line: str) -> None:
    found, _ = told(line)
    assert found[:4] == [Source(f"{folder}/openai_key", required=False) for folder in FOLDERS]
    encrypted, _ = told(line.replace("=", "Encrypted=", 1))
    assert Source("/etc/credstore.encrypted/openai_key", required=False) in encrypted


def test_the_units_own_names_are_filled_in() -> None:
    found, _ = told("LoadCredential=k:/etc/%p/%i_%N.100%%/%n", "app@one.service")
    assert [one.path for one in found] == ["/etc/app/one_app@one.100%/app@one.service"]


def test_what_cannot_be_told_is_said() -> None:
    found, unread = told("LoadCredential=k:%h/key\nImportCredential=llm.*")
    assert found == []
    assert unread == [
        Unread("ImportCredential=llm.*", "what that matches is not looked up"),
        Unread("LoadCredential=k:%h/key", "what its % stands for is not known here"),
    ]
    assert credentials("", "a.service") == ([], [Unread("the credentials of a.service", "`systemctl cat` fails there")])


def test_a_line_that_systemd_passes_over_is_passed_over() -> None:
    assert told("LoadCredential=openai_key:/etc/k\nsk-half-of-a-key\n=x\nLoadCredential=llm_key:/etc/l") == (
        [Source("/etc/k"), Source("/etc/l")],
        [],
    )
