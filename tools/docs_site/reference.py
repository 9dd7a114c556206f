"""The pages of the reference that are made of code: their texts by where they stand in the site."""

from __future__ import annotations

import argparse
import inspect
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

API: Mapping[str, tuple[str, ...]] = {
    "pytest_llamakey.live.LiveDeployment": (
        "workers", "calls", "startup_calls", "request_each_worker", "spawn", "findings", "assert_parity", "logs", "facts",
        "timings", "stop",
    ),
    "pytest_llamakey.live.LiveWorker": (),
    "pytest_llamakey.endpoint.calls.ReceivedCall": (),
    "pytest_llamakey.endpoint.server.Endpoint": ("url", "router", "calls"),
    "pytest_llamakey.findings.Finding": (),
    "pytest_llamakey.facts.Place": (),
    "pytest_llamakey.facts.Facts": (),
}  # fmt: skip
"""What tests are given, and the members that are public; without any, all are."""


def pages() -> dict[str, str]:
    """Every page."""
    return {
        "reference/checks.md": _checks(),
        "reference/fixtures.md": _fixtures(),
        "reference/report.md": _report(),
        "reference/schema.md": _schema(),
        "reference/command-lines.md": _command_lines(),
        "reference/api.md": _api(),
    }


def _checks() -> str:
    from pytest_llamakey.checks import CHECKS
    from pytest_llamakey.spec.model import DEFAULT_CHECKS

    rows = [
        f"| `{check.name}` | {_plain(inspect.getdoc(type(check)) or '')} | "
        f"{'yes' if check.name in DEFAULT_CHECKS else 'on request'} | {'yes' if check.by_worker else 'no'} |"
        for check in CHECKS.values()
    ]
    return "\n".join(
        (
            "# Checks\n",
            "Each is a pytest item of its own: `path/llamakey.toml::name::check`. Its message is what its item shows when it fails.\n",
            "| check | its message | by default | about each worker |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
            "When each holds: [Configuration](../configuration.md#what-is-checked); `gate` and `rotation` have [a page](../gate.md).",
        )
    )


def _fixtures() -> str:
    from pytest_llamakey import plugin

    parts = ["# Fixtures\n\nWith examples: [Fixtures](../fixtures.md)."]
    for name in vars(plugin):
        if name.startswith("llamakey_"):
            parts.append(f"::: pytest_llamakey.plugin.{name}\n    options:\n      show_signature: false")
    return "\n\n".join(parts) + "\n"


def _report() -> str:
    from pytest_llamakey.report import json_report

    schema = json.loads((Path(json_report.__file__).parent / "schema.json").read_text(encoding="utf-8"))
    head = (
        "# JSON report\n\n`--llamakey-report FILE` writes it. The schema is in the package: "
        "`pytest_llamakey/report/schema.json`."
    )
    return "\n\n".join((head, *_tables("The report", schema))) + "\n"


def _schema() -> str:
    from pytest_llamakey.spec.schema import DeploymentTable, SharedTable

    head = (
        "# Schema of llamakey.toml\n\nTypes, as the reader has them; what each key means: [Configuration](../configuration.md). "
        "A key that is a list takes a single value as well."
    )
    parts = [head, *_tables("[[deployment]]", DeploymentTable.model_json_schema())]
    parts += _tables("[tool.llamakey] of pyproject.toml", SharedTable.model_json_schema())
    return "\n\n".join(parts) + "\n"


def _tables(title: str, schema: Mapping[str, Any]) -> Iterator[str]:
    """A table for the object that a JSON schema describes, and one for each of its definitions."""
    for name, part in {title: schema, **schema.get("$defs", {})}.items():
        if "properties" not in part:
            continue
        required = set(part.get("required", ()))
        rows = [
            f"| `{key}` | {_type(one)} | {'yes' if key in required else ''} | {_plain(one.get('description', ''))} |"
            for key, one in part["properties"].items()
        ]
        told = _plain(part.get("description", ""))
        yield "\n".join(
            (f"## {name}\n", f"{told}\n", "| key | type | required | |", "| --- | --- | --- | --- |", *rows)
        )


def _type(part: Mapping[str, Any]) -> str:
    if "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for word in ("anyOf", "oneOf"):
        if word in part:
            return " or ".join(_type(one) for one in part[word] if one.get("type") != "null")
    if "enum" in part:
        return ", ".join(f"`{value}`" for value in part["enum"])
    if "const" in part:
        return f"`{part['const']}`"
    if part.get("type") == "array":
        return f"list of {_type(part.get('items', {}))}"
    if part.get("type") == "object" and isinstance(part.get("additionalProperties"), dict):
        return f"table of {_type(part['additionalProperties'])}"
    return str(part.get("type", "any"))


def _command_lines() -> str:
    from pytest_llamakey.cli import COMMANDS

    parts = ["# Command lines\n\nWhat `--help` says. What they do: [Commands](../commands.md)."]
    for name, command in COMMANDS.items():
        one = argparse.ArgumentParser(prog=f"python -m pytest_llamakey {name}", description=f"{command.SUMMARY}.")
        command.add(one)
        parts.append(f"## {name}\n\n```text\n{one.format_help().rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


def _api() -> str:
    head = "# Python API\n\nWhat the fixtures give: [`llamakey_deploy`](fixtures.md) a `LiveDeployment`, `llamakey_openai` an `Endpoint`."
    parts = [
        f"::: {name}" + (f"\n    options:\n      members: [{', '.join(members)}]" if members else "")
        for name, members in API.items()
    ]
    return "\n\n".join((head, *parts)) + "\n"


def _plain(text: str) -> str:
    """A docstring as a cell of a table."""
    return re.sub(r"\s+", " ", text.replace("``", "`")).replace("|", "\\|").strip()
