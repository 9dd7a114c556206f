"""The lines of a systemd unit, as the facts quote them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llamakey.lines.unit_lines import unit_lines
from pytest_llamakey.secrecy.keys import Secrets
from pytest_llamakey.spec.model import Deployment

if TYPE_CHECKING:
    from pathlib import Path

AZURE = "9f3c2b7d8e1a4c6f9b2d7e8a1c4f6b3d"


def test_no_key_of_a_line_is_shown_beside_another(tmp_path: Path) -> None:
    line = f'Environment="GATEWAY_PASS={AZURE}" "LLM_CREDENTIAL=pass phrase 7" "MODE=production"'
    (tmp_path / "shop.service").write_text(f"[Service]\n{line}\n")
    deployment = Deployment(
        id="llamakey.toml::shop", name="shop", folder=tmp_path, source=tmp_path, runtime="process", unit="shop.service"
    )
    names = ("GATEWAY_PASS", "LLM_CREDENTIAL")
    found = list(unit_lines(deployment, tmp_path, names, Secrets.fresh()))
    assert [each.name for each in found] == [*names]
    for each in found:
        assert AZURE not in each.place.text
        assert "phrase" not in each.place.text
        assert each.place.text.endswith('"MODE=production"')
