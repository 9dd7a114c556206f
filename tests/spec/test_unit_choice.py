"""The key of a unit whose ``llamakey.toml`` does not say how it is delivered comes by what the unit says."""

from __future__ import annotations

import pytest

from pytest_llamakey.spec.model import Defaults, SpecError
from pytest_llamakey.spec.other import deployment_of
from pytest_llamakey.spec.toml import read_deployments


def unit(folder, lines: str, name: str = "app.service"):
    (folder / "Dockerfile").write_text("FROM scratch\n")
    (folder / name).write_text(f"[Service]\n{lines}\nExecStart=/usr/bin/app\n")
    return deployment_of(folder / name, folder, Defaults())


@pytest.mark.parametrize(
    ("lines", "way", "line"),
    [
        ("EnvironmentFile=/etc/app/app.env", ("dotenv", "/etc/app/app.env"), 2),
        ("EnvironmentFile=-/etc/default/app", ("dotenv", "/etc/default/app"), 2),
        ("EnvironmentFile=/etc/a.env\nEnvironmentFile=/etc/b.env", ("dotenv", "/etc/b.env"), 3),
        ("EnvironmentFile=/etc/a.env\nEnvironmentFile=-/etc/b.env", ("dotenv", "/etc/a.env"), 2),
        ("EnvironmentFile=/etc/a.env\nEnvironmentFile=\nEnvironmentFile=/etc/b.env", ("dotenv", "/etc/b.env"), 4),
        ("EnvironmentFile=/etc/%p/%n.env", ("dotenv", "/etc/app/app.service.env"), 2),
        ("EnvironmentFile=/etc/100%%/%N", ("dotenv", "/etc/100%/app"), 2),
        ("LoadCredential=openai:/etc/app/openai_key", ("file", "/etc/app/openai_key"), 2),
        ("LoadCredential=openai:/etc/keys/openai", ("file", "/etc/keys/openai"), 2),
        ("LoadCredential=llm:/etc/app/api_key\nEnvironmentFile=/etc/app.env", ("file", "/etc/app/api_key"), 2),
        ("Environment=OPENAI_API_KEY=\nEnvironmentFile=/etc/app.env", ("dotenv", "/etc/app.env"), 3),
        ("EnvironmentFile=/etc/app.env\nEnvironment=OPENAI_API_KEY=your-key-here", ("dotenv", "/etc/app.env"), 2),
        ("LoadCredential=api:/etc/ssl/api.pem\nEnvironmentFile=/etc/app.env", ("dotenv", "/etc/app.env"), 3),
        ('PassEnvironment="OPENAI_API_KEY"', ("env", "OPENAI_API_KEY"), 2),
        ("PassEnvironment=HOME OPENAI_API_KEY", ("env", "OPENAI_API_KEY"), 2),
        ("PassEnvironment=AZURE_OPENAI_API_KEY\nEnvironmentFile=/etc/b.env", ("env", "AZURE_OPENAI_API_KEY"), 2),
    ],
)
def test_the_key_comes_as_the_unit_takes_it(tmp_path, lines, way, line):
    found = unit(tmp_path, lines)
    assert [(one.scheme, one.target) for one in found.key] == [way]
    assert str(found.origin("key")) == f"app.service:{line}"


@pytest.mark.parametrize(
    "lines",
    [
        "",
        "EnvironmentFile=/etc/a.env\nEnvironmentFile=",
        "LoadCredential=tls:/etc/app/tls.pem",
        "LoadCredential=openai",
        "PassEnvironment=HOME",
        "Environment=OPENAI_API_KEY=sk-proj-7f3K9vQ2mX8pL4wZ7f3K9vQ2mX8pL4wZ\nEnvironmentFile=/etc/app.env",
        "Environment=OPENAI_API_KEY=${OPENAI_API_KEY}",
        "LoadCredential=api:/etc/ssl/api.pem",
    ],
)
def test_a_unit_that_takes_no_key_is_given_it_as_any_other(tmp_path, lines):
    found = unit(tmp_path, lines)
    assert [(one.scheme, one.target) for one in found.key] == [("env", "OPENAI_API_KEY")]
    assert "key" not in found.origins


def test_a_drop_in_beside_the_unit_counts(tmp_path):
    (tmp_path / "app.service.d").mkdir()
    (tmp_path / "app.service.d/key.conf").write_text("[Service]\nEnvironmentFile=/etc/app/key.env\n")
    found = unit(tmp_path, "EnvironmentFile=/etc/app/app.env")
    assert (found.key[0].target, str(found.origin("key"))) == ("/etc/app/key.env", "app.service.d/key.conf:2")


@pytest.mark.parametrize("path", ["%h/.env", "/etc/app/*.env", "/etc/%", "/etc/app/[ab]"])
def test_a_path_that_only_systemd_knows_is_asked_for(tmp_path, path):
    with pytest.raises(SpecError, match=r'only systemd can tell which file this is; add key = "dotenv:') as caught:
        unit(tmp_path, f"EnvironmentFile={path}")
    assert "app.service:2" in str(caught.value)


def test_what_the_user_says_stands(tmp_path):
    (tmp_path / "app.service").write_text("[Service]\nEnvironmentFile=%h/.env\nExecStart=/usr/bin/app\n")
    written = '[[deployment]]\nunit = "app.service"\nimage = "app:1"\nkey = "env:OPENAI_API_KEY"\n'
    (tmp_path / "llamakey.toml").write_text(written)
    (found,) = read_deployments(tmp_path / "llamakey.toml", tmp_path, Defaults())
    assert [(one.scheme, one.target) for one in found.key] == [("env", "OPENAI_API_KEY")]
