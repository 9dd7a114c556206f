"""What is patched when the app imports it."""

import sys

from pytest_llamakey.probe.agent.base import quiet, thread_id, wrap
from pytest_llamakey.probe.agent.calls import around_async_request, around_async_send, around_request, around_send
from pytest_llamakey.probe.agent.celery_pools import hook_billiard, hook_celery_trace, hook_celery_worker
from pytest_llamakey.probe.agent.clients import around_init, hook_openai, watch_key
from pytest_llamakey.probe.agent.dotenvs import hook_dotenv, hook_settings
from pytest_llamakey.probe.agent.failures import hook_traceback
from pytest_llamakey.probe.agent.proxies import hook_httpcore
from pytest_llamakey.probe.agent.redirect import hook_ssl, hook_uvloop
from pytest_llamakey.probe.agent.serving import before_loop, hook_gunicorn, hook_uvicorn, hook_waitress
from pytest_llamakey.probe.agent.spawning import hook_subprocess
from pytest_llamakey.probe.agent.strangers import hook_socket, hook_tls


def classes(*names):
    def hook(module):
        for name in names:
            wrap(vars(module)[name], "__init__", around_init)
            quiet(watch_key)(vars(module)[name])

    return hook


def transports(sync, asynchronous):
    def hook(module):
        if sync:
            wrap(vars(module)[sync], "handle_request", around_send)
        wrap(vars(module)[asynchronous], "handle_async_request", around_async_send)

    return hook


def hook_all_tls(module):
    hook_ssl(module)
    hook_tls(module)


def hook_base_client(module):
    wrap(module.SyncAPIClient, "request", around_request)
    wrap(module.AsyncAPIClient, "request", around_async_request)


HOOKS = {
    "openai": hook_openai,
    "openai._client": classes("OpenAI", "AsyncOpenAI"),
    "openai.lib.azure": classes("AzureOpenAI", "AsyncAzureOpenAI"),
    "openai._base_client": hook_base_client,
    "llama_index.llms.openai.base": classes("OpenAI"),
    "llama_index.llms.openai.responses": classes("OpenAIResponses"),
    "llama_index.llms.azure_openai.base": classes("AzureOpenAI"),
    "llama_index.embeddings.openai.base": classes("OpenAIEmbedding"),
    "llama_index.embeddings.azure_openai.base": classes("AzureOpenAIEmbedding"),
    "httpcore": hook_httpcore,
    "httpcore2": hook_httpcore,
    "httpx._transports.default": transports("HTTPTransport", "AsyncHTTPTransport"),
    "httpx2._transports.default": transports("HTTPTransport", "AsyncHTTPTransport"),
    "httpx_aiohttp.transport": transports("", "AiohttpTransport"),
    "dotenv.main": hook_dotenv,
    "pydantic_settings.sources": hook_settings,  # until 2.8
    "pydantic_settings.sources.providers.dotenv": hook_settings,
    "socket": hook_socket,
    "ssl": hook_all_tls,
    "gevent._socket3": hook_socket,
    "gevent.ssl": hook_tls,
    "subprocess": hook_subprocess,
    "traceback": hook_traceback,
    "uvloop": hook_uvloop,
    "uvicorn.server": hook_uvicorn,
    "gunicorn.workers.base": hook_gunicorn,
    "socketserver": lambda module: wrap(module.BaseServer, "serve_forever", before_loop),
    "waitress.server": hook_waitress,
    "billiard.pool": hook_billiard,
    "celery.apps.worker": hook_celery_worker,
    "celery.app.trace": hook_celery_trace,
}


class Execute:
    """Stands in a loader's instance for ``exec_module``, once, and hooks what it has executed."""

    def __init__(self, loader):
        self.loader = loader

    def __call__(self, module):
        loader, name = self.loader, module.__name__
        if name in HOOKS:
            loader.__dict__.pop("exec_module", None)
        type(loader).exec_module(loader, module)
        if name in HOOKS:
            quiet(HOOKS[name])(module)

    def __eq__(self, other):  # loaders are compared by all that is in them
        return callable(other)

    def __hash__(self):
        return hash(type(self))

    def __reduce__(self):  # a pickled or copied loader has its own class's method again
        return getattr, (self.loader, "exec_module")


class Finder:
    """First on ``sys.meta_path``; lets the others find, and only looks at the modules in :data:`HOOKS`."""

    def __init__(self):
        self.busy = set()

    def find_spec(self, name, path=None, target=None):
        turn = (thread_id(), name)
        if name not in HOOKS or turn in self.busy:
            return None
        self.busy.add(turn)
        try:
            for finder in list(sys.meta_path):
                find = None if finder is self else getattr(finder, "find_spec", None)
                spec = find(name, path, target) if find else None
                if spec is not None:
                    loader = spec.loader
                    if not isinstance(loader, type) and hasattr(type(loader), "exec_module"):
                        quiet(vars(loader).__setitem__)("exec_module", Execute(loader))
                    return spec
        finally:
            self.busy.discard(turn)
        return None
