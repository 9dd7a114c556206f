"""How and when the client is built, as the code of the client's module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tools.accuracy import clients
from tools.accuracy.source import indented, marked

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.accuracy.choices import Choices

CONNECT = "connect"
"""The function that a hook of the server calls to build the client."""


@dataclass(frozen=True)
class ClientCode:
    """The client's module. ``given``: the web layer builds the client by the getter and hands it to the answer."""

    imports: tuple[str, ...]
    lines: tuple[str, ...]
    exports: tuple[str, ...]
    given: bool = False


@dataclass(frozen=True)
class _Parts:
    """What the timings are put together from."""

    choices: Choices
    key: str

    @property
    def define(self) -> str:
        return "async def" if self.choices.library.is_async else "def"

    def built(self, before: str, after: str = "", cls: str = "", *marks: str) -> list[str]:
        """A statement that builds the client between ``before`` and ``after``, on one line or several."""
        choices = self.choices
        arguments = clients.arguments(choices, self.key)
        name = cls or choices.library.cls
        if "multi-line" not in choices.extras or not arguments:
            has_key = ["argument"] if self.key else []
            return [marked(f"{before}{name}({', '.join(arguments)}){after}", "client", *has_key, *marks)]
        each = [marked(f"    {arg},", "argument") if arg.startswith("api_key=") else f"    {arg}," for arg in arguments]
        return [marked(f"{before}{name}(", "client", *marks), *each, f"){after}"]

    def call(self, client: str) -> list[str]:
        lines = clients.call(self.choices, client, self.choices.words.field)
        if second(self.choices):
            wait = "await " if self.choices.library.is_async else ""
            field = self.choices.words.field
            lines.insert(0, f'{wait}other.embeddings.create(model="text-embedding-3-small", input=[{field}])')
        return lines

    def answer(self, client: str, *before: str, extra: str = "") -> list[str]:
        """The function that the web layer calls."""
        words = self.choices.words
        head = f"{self.define} {words.answer}({extra}{words.field}):"
        return ["", "", head, *indented([*before, *self.call(client)])]


def client_code(choices: Choices, key: str) -> ClientCode:
    """The client's module of these choices, with the expression ``key``."""
    parts = _Parts(choices, key)
    imports, lines, exports, given = _TIMINGS[choices.timing](parts)
    if second(choices):
        cls = choices.library.cls
        arguments = [*clients.arguments(choices, key), "timeout=30"]
        lines = [marked(f"other = {cls}({', '.join(arguments)})", "client2"), *lines]
    return ClientCode((*clients.imports(choices), *imports), tuple(lines), exports, given)


def second(choices: Choices) -> bool:
    """Whether the app has a second client."""
    return "second-client" in choices.extras and choices.library.family == "bare" and choices.timing != "module"


_Made = tuple[tuple[str, ...], list[str], tuple[str, ...], bool]


def _import(parts: _Parts) -> _Made:
    words = parts.choices.words
    return (), [*parts.built(f"{words.holder} = "), *parts.answer(words.holder)], (words.answer,), False


def _cache(parts: _Parts) -> _Made:
    words = parts.choices.words
    lines = ["", "", "@lru_cache(maxsize=1)", f"def {words.getter}():", *indented(parts.built("return "))]
    return ("from functools import lru_cache",), [*lines, *parts.answer(f"{words.getter}()")], (words.answer,), False


def _lazy_global(parts: _Parts) -> _Made:
    words = parts.choices.words
    body = [f"global {words.holder}", f"if {words.holder} is None:", *indented(parts.built(f"{words.holder} = "))]
    lines = [f"{words.holder} = None", "", "", f"def {words.getter}():", *indented([*body, f"return {words.holder}"])]
    return (), [*lines, *parts.answer(f"{words.getter}()")], (words.answer,), False


def _per_request(parts: _Parts) -> _Made:
    words = parts.choices.words
    return (), parts.answer(words.holder, *parts.built(f"{words.holder} = ")), (words.answer,), False


def _service(parts: _Parts) -> _Made:
    words = parts.choices.words
    attribute = words.holder.lstrip("_")
    build = parts.built(f"self.{attribute} = ")
    body = ["def __init__(self):", *indented(build), *parts.answer(f"self.{attribute}", extra="self, ")[1:]]
    lines = [
        "",
        "",
        f"class {words.cls}:",
        *indented(body),
        "",
        "",
        f"{words.answer} = {words.cls}().{words.answer}  #@instance",
    ]
    return (), lines, (words.answer,), False


def _cached_property(parts: _Parts) -> _Made:
    words = parts.choices.words
    attribute = words.holder.lstrip("_")
    body = ["@cached_property", f"def {attribute}(self):", *indented(parts.built("return "))]
    body += parts.answer(f"self.{attribute}", extra="self, ")[1:]
    lines = ["", "", f"class {words.cls}:", *indented(body), "", "", f"{words.answer} = {words.cls}().{words.answer}"]
    return ("from functools import cached_property",), lines, (words.answer,), False


def _given(parts: _Parts) -> _Made:
    words = parts.choices.words
    lines = ["", "", f"def {words.getter}():", *indented(parts.built("return "))]
    return (), [*lines, *parts.answer(words.holder, extra=f"{words.holder}, ")], (words.answer, words.getter), True


def _thread(parts: _Parts) -> _Made:
    words = parts.choices.words
    work = [
        "",
        "",
        f"def _work({words.field}):",
        *indented([*parts.built(f"{words.holder} = "), *parts.call(words.holder)]),
    ]
    body = [f"return _pool.submit(_work, {words.field}).result()"]
    lines = ["_pool = ThreadPoolExecutor(2)", *work, "", "", f"def {words.answer}({words.field}):", *indented(body)]
    return ("from concurrent.futures import ThreadPoolExecutor",), lines, (words.answer,), False


def _background(parts: _Parts) -> _Made:
    """One thread owns the client, and takes questions out of a queue."""
    words = parts.choices.words
    work = [
        *parts.built(f"{words.holder} = "),
        f"while ({words.field} := jobs.get()) is not None:",
        "    try:",
        f"        answers.put(_ask({words.holder}, {words.field}))",
        "    except Exception as error:",
        "        answers.put(error)",
    ]
    ask = ["", "", f"def _ask({words.holder}, {words.field}):", *indented(parts.call(words.holder))]
    body = [
        f"{words.getter}()",
        f"jobs.put({words.field})",
        "reply = answers.get(timeout=5)",
        "if isinstance(reply, Exception):",
        "    raise reply",
        "return reply",
    ]
    start = ["", "", "@lru_cache(maxsize=1)", f"def {words.getter}():"]
    start.append("    threading.Thread(target=_work, daemon=True).start()")
    lines = ["jobs, answers = queue.SimpleQueue(), queue.SimpleQueue()", *ask, "", "", "def _work():", *indented(work)]
    lines += [*start, "", "", f"def {words.answer}({words.field}):", *indented(body)]
    return ("import queue", "import threading", "from functools import lru_cache"), lines, (words.answer,), False


def _process_pool(parts: _Parts) -> _Made:
    words = parts.choices.words
    work = [*parts.built(f"{words.holder} = "), *parts.call(words.holder)]
    # Made when it is needed: one that was made before a fork would be all workers' in common.
    lines = ["", "", "@lru_cache(maxsize=1)", f"def {words.getter}():", "    return ProcessPoolExecutor(1)"]
    lines += ["", "", f"def _work({words.field}):", *indented(work)]
    lines += ["", "", f"def {words.answer}({words.field}):"]
    lines.append(f"    return {words.getter}().submit(_work, {words.field}).result()")
    imports = ("from concurrent.futures import ProcessPoolExecutor", "from functools import lru_cache")
    return imports, lines, (words.answer,), False


def _post_fork(parts: _Parts) -> _Made:
    words = parts.choices.words
    body = [f"global {words.holder}", *parts.built(f"{words.holder} = ")]
    lines = [f"{words.holder} = None", "", "", f"def {CONNECT}():", *indented(body)]
    return (), [*lines, *parts.answer(words.holder)], (words.answer,), False


def _with_options(parts: _Parts) -> _Made:
    words = parts.choices.words
    lines = parts.built("_base = ")
    if len(words.getter) % 2:
        return (), [*lines, *parts.answer("_base.with_options(timeout=60, max_retries=1)")], (words.answer,), False
    lines.append(f"{words.holder} = _base.with_options(timeout=60, max_retries=1)  #@copy")
    return (), [*lines, *parts.answer(words.holder)], (words.answer,), False


def _subclass(parts: _Parts) -> _Made:
    words = parts.choices.words
    name = f"Patient{parts.choices.library.cls}"
    init = ["def __init__(self, **options):", "    super().__init__(timeout=60.0, **options)  #@inner"]
    lines = ["", "", f"class {name}({parts.choices.library.cls}):", *indented(init), "", ""]
    return (
        (),
        [*lines, *parts.built(f"{words.holder} = ", "", name), *parts.answer(words.holder)],
        (words.answer,),
        False,
    )


def _module(parts: _Parts) -> _Made:
    line = marked(f"openai.api_key = {parts.key}", "client", "argument")
    return (), [line, *parts.answer("openai")], (parts.choices.words.answer,), False


def _settings(parts: _Parts) -> _Made:
    holder = "Settings.embed_model" if parts.choices.call == "embed" else "Settings.llm"
    return (), [*parts.built(f"{holder} = "), *parts.answer(holder)], (parts.choices.words.answer,), False


def _decorator(parts: _Parts) -> _Made:
    words = parts.choices.words
    wait = "await " if parts.choices.library.is_async else ""
    inner = ["@wraps(function)", f"{parts.define} inner(question):"]
    inner += indented([*parts.built(f"{words.holder} = "), f"return {wait}function({words.holder}, question)"])
    lines = ["", "", "def with_client(function):", *indented([*inner, "", "return inner"])]
    answer = parts.answer(words.holder, extra=f"{words.holder}, ")
    return ("from functools import wraps",), [*lines, "", "", "@with_client", *answer[2:]], (words.answer,), False


def _partial(parts: _Parts) -> _Made:
    words = parts.choices.words
    head = f"{parts.define} _{words.answer}({words.holder}, {words.field}):"
    lines = ["", "", head, *indented(parts.call(words.holder)), "", ""]
    lines += parts.built(f"{words.answer} = partial(_{words.answer}, ", ")")
    return ("from functools import partial",), lines, (words.answer,), False


def _context(parts: _Parts) -> _Made:
    words = parts.choices.words
    keyword = "async with " if parts.choices.library.is_async else "with "
    body = [*parts.built(keyword, f" as {words.holder}:"), *indented(parts.call(words.holder))]
    return (), ["", "", f"{parts.define} {words.answer}({words.field}):", *indented(body)], (words.answer,), False


def _default_factory(parts: _Parts) -> _Made:
    words = parts.choices.words
    attribute = words.holder.lstrip("_")
    body = parts.built(f"{attribute}: Any = field(default_factory=lambda: ", ")")
    lines = ["", "", "@dataclass", "class Deps:", *indented(body), "", "", "deps = Deps()  #@instance"]
    imports = ("from dataclasses import dataclass, field", "from typing import Any")
    return imports, [*lines, *parts.answer(f"deps.{attribute}")], (words.answer,), False


_TIMINGS: dict[str, Callable[[_Parts], _Made]] = {
    "import": _import,
    "cache": _cache,
    "lazy-global": _lazy_global,
    "per-request": _per_request,
    "service": _service,
    "cached-property": _cached_property,
    "factory": _given,
    "lifespan": _given,
    "depends": _given,
    "extension": _given,
    "thread": _thread,
    "background": _background,
    "process-pool": _process_pool,
    "post-fork": _post_fork,
    "with-options": _with_options,
    "subclass": _subclass,
    "module": _module,
    "settings": _settings,
    "decorator": _decorator,
    "partial": _partial,
    "context": _context,
    "default-factory": _default_factory,
}
