"""``init [FOLDER]``: reads a project and writes a commented ``llamakey.toml`` for it; never over one that is there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomlkit

from pytest_llamakey.advice import CONFIG_NAME
from pytest_llamakey.guess.bare import bare_text
from pytest_llamakey.guess.draft import draft
from pytest_llamakey.spec.model import Defaults, SpecError
from pytest_llamakey.spec.toml import read_deployments

if TYPE_CHECKING:
    import argparse

    from pytest_llamakey.guess.fields import Draft

SUMMARY = "write a commented llamakey.toml for the app in a folder, and say what was guessed and what could not be"

LINE = 110
"""Columns that a line of the file may take before its comment goes above it."""


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's words."""
    parser.add_argument("folder", metavar="FOLDER", nargs="?", default=".", help="the app's folder (default: this one)")
    parser.add_argument("--stdout", action="store_true", help="print the file, write nothing")


def run(words: argparse.Namespace) -> int:
    """Write the file; 1 where it is there already or nothing says how the app is started."""
    folder = Path(words.folder)
    path = folder / CONFIG_NAME
    if not folder.is_dir():
        return _refuse(f"There is no folder {folder}.", 2)
    if path.exists() and not words.stdout:
        return _refuse(f"{path} is there already, and is left as it is. What would be written: add --stdout.", 1)
    try:
        made = draft(folder)
    except SpecError as error:
        return _refuse(bare_text(f"{error}"), 1)
    if not made.runtime:
        return _refuse(f"Nothing was written. Not found out: {'; '.join(made.open)}.", 1)
    text = render(made)
    if words.stdout:
        print(text, end="")
        return 0
    path.write_text(text, encoding="utf-8")
    print(f"Wrote {path}.\n\nGuessed, each from the line named:")
    width = max(len(each.name) for each in made.fields)
    for each in made.fields:
        if each.left_out:
            now = "left out" if each.value is None else f"{_toml(each.value)}, left out"
            print(f"  {each.name:{width}}  {now}  ({each.why})")
        elif each.sure:
            print(f"  {each.name:{width}}  {_toml(each.value)}  ({each.why})")
    _list("Could not be guessed:", made.open)
    _list("Also seen:", made.also)
    try:
        read_deployments(path, folder, Defaults())
    except SpecError as error:
        _list("To be corrected before it runs:", [bare_text(str(error))])
        return 0
    print(f"\nRead it over, then:\n  pytest --llamakey {words.folder}")
    if made.runtime == "docker" and made.get("command"):
        print(
            f"or without a container engine, with the app's packages installed beside pytest:\n"
            f"  pytest --llamakey {words.folder} --llamakey-runtime process"
        )
    return 0


def render(made: Draft) -> str:
    """The file's text: a field a line with its reason; offers, and what a run finds out by itself, behind a ``#``."""
    document = tomlkit.document()
    document.add(tomlkit.comment("How pytest-llamakey runs this app. Each comment says where a value was read."))
    table = tomlkit.table()
    for each in made.fields:
        if each.left_out:
            now = "" if each.value is None else f" (now {_toml(each.value)})"
            table.add(tomlkit.comment(f"{each.name} is left out: {each.why}{now}"))
        elif each.sure:
            item = _item(each.value)
            if len(f"{each.name} = {_toml(each.value)} # {each.why}") > LINE:
                table.add(tomlkit.comment(each.why))
            else:
                item.comment(each.why)
            table.add(each.name, item)
        else:
            table.add(tomlkit.comment(f"{each.name} = {_toml(each.value)}   # {each.why}"))
    for line in (*made.open, *made.also):
        table.add(tomlkit.comment(line if line in made.also else f"open: {line}"))
    deployments = tomlkit.aot()
    deployments.append(table)
    document.add("deployment", deployments)
    return tomlkit.dumps(document)


def _item(value: Any) -> Any:
    """A value in the short form, tables in one line."""
    if isinstance(value, list):
        array = tomlkit.array()
        array.extend(map(_item, value))
        return array
    if not isinstance(value, dict):
        return tomlkit.item(value)
    table = tomlkit.inline_table()
    for name, each in value.items():
        table.append(name, _item(each))
    return table


def _toml(value: Any) -> str:
    return str(_item(value).as_string())


def _list(title: str, lines: list[str]) -> None:
    if lines:
        print(f"\n{title}")
        for line in lines:
            print(f"  {line}")


def _refuse(message: str, code: int) -> int:
    print(message, file=sys.stderr)
    return code
