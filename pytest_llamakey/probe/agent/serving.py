"""Which process takes requests."""

from pytest_llamakey.probe.agent.base import quiet, wrap
from pytest_llamakey.probe.agent.wire import put, wire


@quiet
def serves(by, port=0, **more):
    if not wire.served:
        wire.served = True
        put("serving", by=by, port=port, **more)


def hook_uvicorn(module):
    def after_startup(original):
        async def startup(self, *args, **kwargs):
            await original(self, *args, **kwargs)
            if not self.should_exit:
                serves("uvicorn")

        return startup

    wrap(module.Server, "startup", after_startup)


def hook_gunicorn(module):
    """Every worker class tells its arbiter that it lives as the first thing in its loop."""

    def before_notify(original):
        def notify(self):
            if not wire.served and self.booted:
                serves("gunicorn")
            return original(self)

        return notify

    wrap(module.Worker, "notify", before_notify)


def before_loop(original):
    def run(self, *args, **kwargs):
        quiet(lambda: serves(type(self).__module__.partition(".")[0], self.server_address[1]))()
        return original(self, *args, **kwargs)

    return run


def hook_waitress(module):
    def before_run(original):
        def run(self):
            serves("waitress")
            return original(self)

        return run

    wrap(module.BaseWSGIServer, "run", before_run)
    wrap(module.MultiSocketServer, "run", before_run)
