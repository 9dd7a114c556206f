"""How the key gets from where it is delivered into the app's hands, as code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tools.accuracy import names

if TYPE_CHECKING:
    from tools.accuracy.choices import Choices

FILE_VARIABLE = "OPENAI_API_KEY_FILE"
"""Names the key's file where it lies outside of the app's folder."""


@dataclass(frozen=True)
class Code:
    """Lines with the imports that they need."""

    imports: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Loading:
    """``prelude`` must have run before the client is built; ``expression`` reads the key, where it is an argument.

    ``definitions`` stand where the app keeps its configuration, and ``exports`` are their names; ``expression_imports``
    is needed where the expression stands.
    """

    prelude: Code = Code()
    definitions: Code = Code()
    exports: tuple[str, ...] = ()
    expression: str = ""
    expression_imports: tuple[str, ...] = ()


def loading(choices: Choices, prelude_file: str) -> Loading:
    """The code of these choices; ``prelude_file`` is the file that the prelude will stand in."""
    prelude = _prelude(choices, prelude_file)
    if not choices.argument:
        return Loading(prelude)
    if choices.loading.startswith(("pydantic", "dynaconf", "environs", "starlette")):
        return _settings(choices, prelude)
    expression, imports = _expression(choices)
    return _at_home(choices, prelude, expression, imports)


def key_path(choices: Choices) -> str:
    """The expression of the key file's path."""
    return f'os.environ["{FILE_VARIABLE}"]' if choices.path.startswith("/") else f'"{choices.path}"'


def _at_home(choices: Choices, prelude: Code, expression: str, imports: tuple[str, ...]) -> Loading:
    words = choices.words
    if choices.home == "constant":
        definitions = Code(imports, (f"{words.constant} = {expression}  #@read",))
        return Loading(prelude, definitions, (words.constant,), words.constant)
    if choices.home == "function":
        lines = ("", "", f"def {words.reader}():", *_read(choices, expression), "")
        return Loading(prelude, Code(imports, lines), (words.reader,), f"{words.reader}()")
    return Loading(prelude, expression=expression, expression_imports=imports)


def _other(choices: Choices) -> str:
    """A name that the key goes by elsewhere."""
    return next(name for name in names.VARIABLES if name != choices.variable)


def _read(choices: Choices, expression: str) -> list[str]:
    if "checked" not in choices.extras:
        return [f"    return {expression}  #@read"]
    complaint = choices.words.complaint.format(name=choices.variable)
    return [f"    key = {expression}  #@read", "    if not key:", f"        {complaint}", "    return key"]


def _expression(choices: Choices) -> tuple[str, tuple[str, ...]]:
    name = choices.variable
    path = key_path(choices)
    of_file = ("import os", "from pathlib import Path")
    parent, _, dotenv = choices.path.rpartition("/")
    decouple = (
        (f'config("{name}")', ("from decouple import config",))
        if not parent and dotenv == ".env"
        else (f'Config(RepositoryEnv("{choices.path}"))("{name}")', ("from decouple import Config, RepositoryEnv",))
    )
    table = {
        "item": (f'os.environ["{name}"]', ("import os",)),
        "getenv": (f'os.getenv("{name}")', ("import os",)),
        "getenv-default": (f'os.getenv("{name}", "")', ("import os",)),
        "imported": (f'environ["{name}"]', ("from os import environ",)),
        "either": (f'os.environ.get("{_other(choices)}") or os.environ["{name}"]', ("import os",)),
        "decouple": (f'config("{name}")', ("from decouple import config",)),
        "decouple-dotenv": decouple,
        "dotenv-item": (f'os.environ["{name}"]', ("import os",)),
        "dotenv-values": (f'dotenv_values("{choices.path}")["{name}"]', ("from dotenv import dotenv_values",)),
        "file": (f"Path({path}).read_text().strip()", of_file),
        "any": (f'os.environ.get("{name}") or Path({path}).read_text().strip()', of_file),
    }
    return table[choices.loading]


def _settings(choices: Choices, prelude: Code) -> Loading:
    """Libraries whose settings object is made where the app keeps its configuration."""
    name = choices.variable
    if choices.loading == "dynaconf":
        code = Code(("from dynaconf import Dynaconf",), ("settings = Dynaconf(envvar_prefix=False)",))
        return Loading(prelude, code, ("settings",), f"settings.{name}")
    if choices.loading.startswith("environs"):
        read = (f'env.read_env("{choices.path}", recurse=False)  #@load',) if choices.delivery == "dotenv" else ()
        code = Code(
            ("from environs import Env",),
            ("env = Env()", *read, f'{choices.words.constant} = env.str("{name}")  #@read'),
        )
        return Loading(prelude, code, (choices.words.constant,), choices.words.constant)
    if choices.loading.startswith("starlette"):
        path = f'"{choices.path}"' if choices.delivery == "dotenv" else ""
        lines = (f"config = Config({path})  #@load", f'{choices.words.constant} = config("{name}")  #@read')
        code = Code(("from starlette.config import Config",), lines)
        return Loading(prelude, code, (choices.words.constant,), choices.words.constant)
    field = name.lower()
    imports = ["from pydantic_settings import BaseSettings"]
    body = []
    if choices.loading != "pydantic":
        imports = ["from pydantic_settings import BaseSettings, SettingsConfigDict"]
        source = f'env_file="{choices.path}"' if choices.delivery == "dotenv" else 'secrets_dir="secrets"'
        body = [f'    model_config = SettingsConfigDict({source}, extra="ignore")  #@load', ""]
    secret = choices.home != "inline"
    if secret:
        imports.insert(0, "from pydantic import SecretStr")
    lines = [
        "",
        "",
        "class AppSettings(BaseSettings):",
        *body,
        f"    {field}: {'SecretStr' if secret else 'str'}  #@read",
    ]
    value = f"{field}.get_secret_value()" if secret else field
    if choices.home == "function":
        imports.insert(0, "from functools import lru_cache")
        lines += ["", "", "@lru_cache", "def get_settings():", "    return AppSettings()  #@settings", ""]
        return Loading(prelude, Code(tuple(imports), tuple(lines)), ("get_settings",), f"get_settings().{value}")
    lines += ["", "", "settings = AppSettings()  #@settings"]
    return Loading(prelude, Code(tuple(imports), tuple(lines)), ("settings",), f"settings.{value}")


def _prelude(choices: Choices, file: str) -> Code:
    target = choices.library.variable
    if choices.loading == "copied":
        return Code(
            ("import os",), (f'os.environ["{target}"] = os.environ["{choices.variable}"]  #@prelude,load,read',)
        )
    if choices.loading == "file-environ":
        line = f'os.environ["{target}"] = Path({key_path(choices)}).read_text().strip()  #@prelude,load,read'
        return Code(("import os", "from pathlib import Path"), (line,))
    if choices.loading in ("dotenv", "dotenv-item", "dotenv-too"):
        return _dotenv(choices, file)
    return Code()


def _dotenv(choices: Choices, file: str) -> Code:
    path = choices.path
    call = choices.dotenv_call
    plain = path == ".env"
    if call == "find" and "/" not in path:
        argument = f'find_dotenv("{path}", usecwd=True)'
        return Code(("from dotenv import find_dotenv, load_dotenv",), (f"load_dotenv({argument})  #@prelude,load",))
    if call == "beside":
        above = file.count("/")
        folder = f"Path(__file__).resolve().parents[{above}]"
        lines = (f'load_dotenv({folder} / "{path}")  #@prelude,load',)
        return Code(("from pathlib import Path", "from dotenv import load_dotenv"), lines)
    if call == "cwd":
        lines = (f'load_dotenv(dotenv_path=os.path.join(os.getcwd(), "{path}"))  #@prelude,load',)
        return Code(("import os", "from dotenv import load_dotenv"), lines)
    arguments = [] if plain and call != "string" else [f'"{path}"']
    if call == "override":
        arguments.append("override=True")
    return Code(("from dotenv import load_dotenv",), (f"load_dotenv({', '.join(arguments)})  #@prelude,load",))
