"""The JSON report, for dashboards and other programs; ``schema.json`` beside this file describes it."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from pytest_llamakey.report.model import Report

if TYPE_CHECKING:
    from pathlib import Path


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[Report]:
    return TypeAdapter(Report)


def to_json(report: Report) -> str:
    """``report`` as indented JSON text."""
    return _adapter().dump_json(report, indent=2).decode() + "\n"


def from_json(text: str | bytes) -> Report:
    """The report in ``text``; raises :class:`pydantic.ValidationError` where it is not such a document."""
    return _adapter().validate_json(text)


def write(report: Report, path: Path) -> None:
    """Write ``report`` to ``path``, whose folder is made where it is missing; raises :class:`OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(to_json(report), encoding="utf-8")


def build_schema() -> dict[str, Any]:
    """The JSON Schema of the report, made from its dataclasses."""
    schema = _adapter().json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def stored_schema() -> dict[str, Any]:
    """The JSON Schema that the package carries."""
    text = resources.files("pytest_llamakey.report").joinpath("schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
