"""The fields of a deployment to be, each with the reason, and what is left to its owner."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pytest_llamakey.guess.bare import bare_text, bare_value
from pytest_llamakey.spec.quotable import without_keys


@dataclass(frozen=True)
class Field:
    """A field of ``llamakey.toml`` with its value and the reason; one that is no more than an offer is not ``sure``.

    ``left_out``: each run finds the value out by itself, and the file only says so; ``None`` where only a run can tell.
    """

    name: str
    value: Any
    why: str
    sure: bool = True
    left_out: bool = False


@dataclass
class Draft:
    """A deployment to be: ``fields`` in the order of the file, ``open`` what nobody but its owner can say.

    ``runtime`` is empty where nothing says how the app is started. ``also`` are other ways that were seen. No field
    holds a key, and none of the lines does after ``without_keys``.
    """

    runtime: str = ""
    fields: list[Field] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    also: list[str] = field(default_factory=list)

    def say(self, name: str, value: Any, why: str, *, sure: bool = True) -> None:
        """Add a field; one whose value holds a key is an offer without it, and said to be open."""
        shown = bare_value(value, bare_text if name in {"command", "key"} else without_keys)
        told = bare_text(why)
        if shown != value:
            self.open.append(f"{name}: a key stands in it ({told}), which is not copied; write it without one")
        self.fields.append(Field(name, shown, told, sure and shown == value))

    def leave_out(self, name: str, value: Any, why: str) -> None:
        """Add a field that the file does not need: each run reads ``value`` where ``why`` says."""
        self.fields.append(Field(name, bare_value(value), bare_text(why), left_out=True))

    def without_keys(self) -> Draft:
        """The same with no key in any of its lines; what people are shown has been through here."""
        self.open, self.also = [*map(bare_text, self.open)], [*map(bare_text, self.also)]
        return self

    def get(self, name: str) -> Any:
        """A field's value, if it was guessed and stands in the file."""
        named = (each for each in self.fields if each.name == name and each.sure and not each.left_out)
        return next((each.value for each in named), None)
