"""Which process takes Celery's tasks, and which tasks it has run."""

import sys

from pytest_llamakey.probe.agent.base import quiet, thread_id, wrap
from pytest_llamakey.probe.agent.clients import told
from pytest_llamakey.probe.agent.failures import raised_in
from pytest_llamakey.probe.agent.places import place
from pytest_llamakey.probe.agent.serving import serves
from pytest_llamakey.probe.agent.sight import clean
from pytest_llamakey.probe.agent.wire import put

_PREFORK = "celery.concurrency.prefork"
_ended_by = {}  # type: ignore[var-annotated]  # thread → what the task that it runs failed with, and where


def hook_billiard(module):
    """A prefork child enters this loop once it has told its parent that it is up."""

    def before_loop(original):
        def workloop(self, *args, **kwargs):
            if _PREFORK in sys.modules:
                serves("celery child", tasks=self.maxtasks or 0)
            return original(self, *args, **kwargs)

        return workloop

    wrap(module.Worker, "workloop", before_loop)


def hook_celery_worker(module):
    """Called when the worker has its connection to the broker; other pools than prefork run tasks in this process."""

    def after_ready(original):
        def on_consumer_ready(self, consumer):
            answer = original(self, consumer)
            quiet(lambda: serves("celery main" if type(self.pool).__module__ == _PREFORK else "celery"))()
            return answer

        return on_consumer_ready

    wrap(module.Worker, "on_consumer_ready", after_ready)


def hook_celery_trace(module):
    """Every pool runs its tasks through one of these two functions; a failure passes ``handle_failure``."""

    def around_trace(original):
        def trace(*args, **kwargs):
            try:
                return original(*args, **kwargs)
            finally:
                task_ended(args, kwargs)

        return trace

    def before_failure(original):
        def handle_failure(self, *args, **kwargs):
            task_failed(self.retval)
            return original(self, *args, **kwargs)

        return handle_failure

    for name in ("fast_trace_task", "trace_task_ret"):
        wrap(module, name, around_trace)
    wrap(module.TraceInfo, "handle_failure", before_failure)


@quiet
def task_failed(error):
    _ended_by[thread_id()] = told(error), [place(*frame) for frame in raised_in(error)[:-6:-1]]


@quiet
def task_ended(args, kwargs):
    error, places = _ended_by.pop(thread_id(), ("", []))
    put("task", id=clean(args[1] if len(args) > 1 else kwargs.get("uuid"), 200), error=error, where=places)
