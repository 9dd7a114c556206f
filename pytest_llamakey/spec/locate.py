"""Says on which line of a TOML document each key, table and array item stands; tomllib gives values without lines."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import TYPE_CHECKING

import tree_sitter_toml
from tree_sitter import Language, Node, Parser

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TomlPath = tuple[str | int, ...]


def locate(text: str) -> Mapping[TomlPath, int]:
    """The line (from 1) of every path in ``text``: keys as strings, places in arrays as numbers from 0.

    A table that several headers share is located at the first. Invalid TOML is located as far as it can be.
    """
    return _Locator().read(_parser().parse(text.encode()).root_node)


def first_error(text: str) -> int | None:
    """The line of the first thing in ``text`` that the grammar of TOML has no place for."""
    queue = [_parser().parse(text.encode()).root_node]
    found = [
        node.start_point.row + 1
        for node in _walk(queue)
        if (node.is_error and node.parent is not None) or node.is_missing
    ]
    return min(found, default=None)


def line_of(lines: Mapping[TomlPath, int], path: TomlPath) -> int:
    """The line of ``path``, or of the nearest table around it that has one; 0 where none has."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return 0


class _Locator:
    def __init__(self) -> None:
        self.lines: dict[TomlPath, int] = {}
        self.counts: dict[TomlPath, int] = {}

    def read(self, root: Node) -> Mapping[TomlPath, int]:
        for node in root.named_children:
            if node.type == "pair":
                self._pair(node, ())
            elif node.type in {"table", "table_array_element"}:
                self._table(node)
        return self.lines

    def _table(self, node: Node) -> None:
        header, *rest = node.named_children
        line = node.start_point.row + 1
        *parents, name = _keys(header)
        path: TomlPath = ()
        for parent in parents:
            path = self._current((*path, parent), line)
        if node.type == "table_array_element":
            array = (*path, name)
            self._note(array, line)
            index = self.counts.get(array, 0)
            self.counts[array] = index + 1
            path = (*array, index)
            self._note(path, line)
        else:
            path = self._current((*path, name), line)
        for child in rest:
            if child.type == "pair":
                self._pair(child, path)

    def _current(self, path: TomlPath, line: int) -> TomlPath:
        """``path`` noted, or its last item where it is an array of tables: a later header speaks of that one."""
        self._note(path, line)
        count = self.counts.get(path)
        return path if count is None else (*path, count - 1)

    def _pair(self, node: Node, path: TomlPath) -> None:
        key, *values = (child for child in node.named_children if child.type != "comment")
        for part in _keys(key):
            path = (*path, part)
            self._note(path, key.start_point.row + 1)
        for value in values:
            self._value(value, path)

    def _value(self, node: Node, path: TomlPath) -> None:
        if node.type == "inline_table":
            for child in node.named_children:
                if child.type == "pair":
                    self._pair(child, path)
        elif node.type == "array":
            items = (child for child in node.named_children if child.type != "comment")
            for index, child in enumerate(items):
                self._note((*path, index), child.start_point.row + 1)
                self._value(child, (*path, index))

    def _note(self, path: TomlPath, line: int) -> None:
        self.lines.setdefault(path, line)


def _keys(node: Node) -> list[str]:
    if node.type == "dotted_key":
        return [key for child in node.named_children for key in _keys(child)]
    text = (node.text or b"").decode()
    if node.type == "quoted_key":
        return list(tomllib.loads(f"{text} = 0"))
    return [text]


def _walk(queue: list[Node]) -> Iterator[Node]:
    while queue:
        node = queue.pop()
        yield node
        queue.extend(node.children)


@lru_cache(maxsize=1)
def _parser() -> Parser:
    return Parser(Language(tree_sitter_toml.language()))
