"""Reads YAML so that every value keeps the line it stands on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import yaml

from pytest_llamakey.spec.locate import TomlPath as YamlPath
from pytest_llamakey.spec.locate import line_of
from pytest_llamakey.spec.model import Origin, SpecError
from pytest_llamakey.spec.quotable import without_keys

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["YamlDocument", "YamlPath", "read_yaml"]


@dataclass(frozen=True)
class YamlDocument:
    """One document of a file: its plain value, and the line of every key and list item by its path from the top."""

    value: Any
    lines: Mapping[YamlPath, int]
    first: int = 1

    def line(self, *path: str | int) -> int:
        """The line of ``path``, or of the nearest thing above it that stands in the file."""
        return line_of(self.lines, path) or self.first


MOST_VALUES = 100_000
"""A file with more keys and list items is none that people write; a few aliases in a row can make billions."""


class _Loader(yaml.SafeLoader):
    """YAML as Go reads it, in which Docker and Kubernetes are written: no dates, no numbers to the base of 60."""


_INT = re.compile(r"^(?:[-+]?0b[0-1_]+|[-+]?0o?[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+)$")
_FLOAT = re.compile(r"^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?)$")
_REPLACED = {"tag:yaml.org,2002:int": _INT, "tag:yaml.org,2002:float": _FLOAT}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, _REPLACED.get(tag, pattern)) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _plain(loader: yaml.SafeLoader, _tag: str, node: yaml.Node) -> Any:
    """What stands behind a tag of the file's own kind: compose's ``!reset`` and ``!override``, say."""
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    value = loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else None
    return None if value in {"", "null", "~"} else value


_Loader.add_multi_constructor("!", _plain)


def read_yaml(text: str, shown: str) -> tuple[YamlDocument, ...]:
    """The documents of ``text`` in their order, empty ones left out; ``shown`` is how people know the file.

    Raises:
        SpecError: this is no YAML, with the line.
    """
    found = []
    loader = None
    try:
        loader = _Loader(text)
        while loader.check_node():
            node = loader.get_node()
            value = None if node is None else loader.construct_document(node)
            if node is not None and value is not None:
                lines = dict(islice(_lines(node, (), ()), MOST_VALUES + 1))
                if len(lines) > MOST_VALUES:
                    what = f"its aliases and lists make more than {MOST_VALUES} values of it"
                    raise SpecError(f"too large: {what}", Origin(shown, node.start_mark.line + 1))
                found.append(YamlDocument(value, lines, node.start_mark.line + 1))
    except RecursionError as error:
        raise SpecError("nested too deeply to be read", Origin(shown, 0)) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = without_keys(" ".join(filter(None, (error.context, error.problem))))
        raise SpecError(f"not valid YAML: {what}", Origin(shown, mark.line + 1 if mark else 0)) from error
    except yaml.YAMLError as error:
        raise SpecError(f"not valid YAML: {error}", Origin(shown, 0)) from error
    finally:
        if loader is not None:
            loader.dispose()
    return tuple(found)


def _lines(node: yaml.Node, path: YamlPath, above: tuple[int, ...]) -> Iterator[tuple[YamlPath, int]]:
    """Every path below ``node`` with its line; an alias counts where its anchor stands, and never inside itself."""
    if id(node) in above:
        return
    inner = (*above, id(node))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = getattr(key, "value", None)
            if isinstance(name, str):
                yield (*path, name), key.start_mark.line + 1
                yield from _lines(value, (*path, name), inner)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield (*path, index), item.start_mark.line + 1
            yield from _lines(item, (*path, index), inner)
