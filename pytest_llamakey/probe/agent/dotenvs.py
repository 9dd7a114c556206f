"""``.env`` files, as python-dotenv reads them."""

import os

from pytest_llamakey.probe.agent.base import NAMES, quiet, wrap
from pytest_llamakey.probe.agent.literals import given
from pytest_llamakey.probe.agent.places import relative, where
from pytest_llamakey.probe.agent.sight import sight
from pytest_llamakey.probe.agent.wire import put


def hook_dotenv(module):
    """``load_dotenv`` itself stays: ``find_dotenv`` looks for the file beside its caller's frame."""
    loading = {}

    def around_load(original):
        def set_as_environment_variables(self, *args, **kwargs):
            override = args[0] if args else kwargs.get("override", getattr(self, "override", False))
            loading[id(self)] = bool(override)
            try:
                return original(self, *args, **kwargs)
            finally:
                loading.pop(id(self), None)

        return set_as_environment_variables

    def around_dict(original):
        def read(self):
            fresh = getattr(self, "_dict", None) is None
            values = original(self)
            if fresh:
                report_dotenv(self, values, loading.get(id(self), False))
            return values

        return read

    wrap(module.DotEnv, "set_as_environment_variables", around_load)
    wrap(module.DotEnv, "dict", around_dict)


def hook_settings(module):
    """pydantic-settings has python-dotenv read the files that are there, and says nothing of those that are not."""

    def around_read(original):
        def _read_env_files(self, *args, **kwargs):
            values = original(self, *args, **kwargs)
            report_absent(self.env_file)
            return values

        return _read_env_files

    wrap(module.DotEnvSettingsSource, "_read_env_files", around_read)


@quiet
def report_absent(files):
    for file in (files,) if isinstance(files, (str, os.PathLike)) else files or ():
        path = os.path.expanduser(os.fspath(file))
        if not os.path.exists(path):
            put_dotenv(path, {}, False)


@quiet
def report_dotenv(file, values, override):
    put_dotenv(str(file.dotenv_path or ""), values, override)


def put_dotenv(path, values, override):
    found = bool(path) and os.path.exists(path)
    given.update(value for value in values.values() if value)
    name = next((name for name in NAMES or ("OPENAI_API_KEY",) if name in values), None)
    key = sight(values[name] if name else None)
    put(
        "dotenv",
        path=path and relative(path),
        found=found,
        override=override,
        key=key,
        names=[str(name) for name in values][:200],
        where=where(),
    )
