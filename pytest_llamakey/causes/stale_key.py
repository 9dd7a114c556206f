"""The key of an earlier deployment is still in use."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_llamakey.causes.base import KEY_SYMPTOMS, Cause, Example, begun
from pytest_llamakey.causes.recorded import FOREIGN, app, call, client, dotenv, redeployed, roll, source, worker
from pytest_llamakey.causes.trail import delivery
from pytest_llamakey.causes.uses import asked, grouped, once
from pytest_llamakey.facts import KeySight
from pytest_llamakey.symptoms.rotation import EARLIER_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_llamakey.causes.base import Trouble
    from pytest_llamakey.causes.uses import Use
    from pytest_llamakey.facts import Facts, SourceLine
    from pytest_llamakey.findings import Finding

_AT_EACH_START = "Let the app read the key that is delivered now, at each start, and keep no copy of it."
_AT_EACH_CALL = (
    "Let the app read the file anew for each client that it builds, or when it has changed, and keep no copy of it; or "
    "roll the workload out whenever the Secret changes (`kubectl rollout restart`, or a controller such as Reloader)."
)
_ROLL_OUT = (
    "Roll the workload out whenever the Secret changes: `kubectl rollout restart`, a checksum of the Secret among the "
    "pod template's annotations, or a controller such as Reloader; or mount the Secret as a folder (no subPath) and "
    "let the app read the file anew for each client that it builds."
)
_OLD = KeySight("different", EARLIER_KEY)
_REF = source(
    "secret-ref", "OPENAI_API_KEY", "deploy.yaml:35", "key: api-key", interpolates=("openai/api-key",), fixed=True
)
_MOUNT = replace(_REF, name="/run/secrets/openai/api-key", fixed=False)
_CACHED = worker(clients=(client(key=_OLD),), calls=(call(_OLD),), rollcall=(roll(_OLD),))


class StaleKey(Cause):
    """The key was changed, and the app goes on with the one before.

    What you see: ``Incorrect API key provided`` (or ``401``) some time after the key was rotated, and only where the
    app was not started anew, or keeps the key in a place of its own: a cache file, a database, a variable that was
    read once.

        if CACHE.exists():
            key = CACHE.read_text()

    Read what is delivered at each start, and keep no copy:

        key = Path("/run/secrets/openai").read_text()

    On Kubernetes, a Secret that changes reaches no running process by itself: a variable (``secretKeyRef``,
    ``envFrom``) keeps its value, and so does a file that is mounted by ``subPath``. Roll the workload out whenever the
    Secret changes: ``kubectl rollout restart``, a checksum of the Secret among the template's annotations, a hash in
    its name (kustomize), or a controller such as Reloader. With ``rotation = "in-place"`` the check holds an app to
    take a new key up without that.
    """

    name = "stale-key"
    title = "the key of an earlier deployment is still in use"
    explains = KEY_SYMPTOMS | {"earlier-key"}

    EXAMPLES = (
        Example("a client that was given the earlier key", app(_CACHED), True),
        Example("one call with it", app(worker(calls=(call(), call(_OLD)))), True),
        Example(
            "one worker of two",
            app(worker(7), worker(8, clients=(client(key=_OLD),), calls=(call(_OLD),), rollcall=())),
            True,
        ),
        Example("the redeployed app goes on with it", redeployed(app(), _CACHED), True),
        Example("one worker of the redeployed app does", redeployed(app(), worker(7), replace(_CACHED, pid=8)), True),
        Example(
            "the Secret was changed under a process that has it in its environment",
            redeployed(
                app(source=(_REF,), delivered=("secret:openai/api-key",)),
                replace(_CACHED, environment={"OPENAI_API_KEY": _OLD}),
                in_place=True,
            ),
            True,
        ),
        Example(
            "the Secret was changed, and the app has kept what it had read of the file",
            redeployed(app(source=(_MOUNT,), delivered=("secret:openai/api-key",)), _CACHED, in_place=True),
            True,
        ),
        Example(
            "the Secret was changed, and the app has read the file anew",
            redeployed(
                app(source=(_MOUNT,), delivered=("secret:openai/api-key",)),
                worker(clients=(client(), client(key=_OLD))),
                in_place=True,
            ),
            False,
        ),
        Example("the redeployed app has the new key", redeployed(app()), False),
        Example("the present key", app(), False),
        Example("a foreign key", app(worker(calls=(call(FOREIGN),))), False),
        Example(
            "the earlier key stands in the environment, and the .env is right",
            app(
                worker(
                    environment={"OPENAI_API_KEY": _OLD},
                    dotenv=(dotenv(0.2),),
                    clients=(client(key=_OLD),),
                    calls=(call(_OLD),),
                    rollcall=(roll(_OLD),),
                    key=_OLD,
                ),
                delivered=("dotenv:.env",),
            ),
            False,
        ),
    )

    def find(self, facts: Facts) -> Iterable[Finding]:
        """A finding for each line that goes on with the earlier key."""
        rows = [(str(use.place), (trouble, use)) for trouble, use in asked(self, facts) if use.key.shown == EARLIER_KEY]
        for group in grouped(rows):
            trouble, use = group[0]
            changed = facts.rotation is not None and facts.rotation.in_place and trouble.symptoms[0].check == "rotation"
            brought = _brought(facts) if changed else []
            fixed = [line.place for line in brought if line.fixed]
            following = [line.place for line in brought if not fixed]
            yield self.finding(
                once(trouble for trouble, _use in group),
                where=[*fixed, use.place, *following, delivery(facts)],
                evidence=[*map(_changed, brought), *_story(group)],
                fix=_ROLL_OUT if fixed else _AT_EACH_CALL if brought else _AT_EACH_START,
            )


def _changed(line: SourceLine) -> str:
    """What became of a Secret that was changed, where this line brings it in."""
    kept = f"nothing rolled the workload out: {_kept(line)}" if line.fixed else f"{line.name} holds the new key"
    return f"{line.interpolates[0]} was changed, and {kept}"


def _kept(line: SourceLine) -> str:
    if line.name.startswith("/"):
        return f"{line.name} is mounted by subPath, and stays as it is for as long as the pod lives"
    return f"{line.name or 'its variable'} of a running process stays as it is"


def _brought(facts: Facts) -> list[SourceLine]:
    """Where the manifest asks for the items that are delivered; kustomize may have called their Secret otherwise."""
    asking = [line for line in facts.deployment.source if line.kind == "secret-ref"]
    targets = [way.partition(":")[2] for way in facts.deployment.delivered if way.startswith("secret:")]
    names = {*targets, *(target.partition("/")[0] for target in targets)}
    return [line for line in asking if names.intersection(line.interpolates)] or asking


def _story(group: list[tuple[Trouble, Use]]) -> Iterator[str]:
    trouble, use = group[0]
    now = [name for name, sight in trouble.process.environment.items() if sight.shown == "<key>"]
    if now:
        yield begun(trouble, use.at, f"with the present key in {now[0]}")
    yield from (use.line for _trouble, use in group[:2])
    yield from [symptom.what for symptom in trouble.symptoms if symptom.sight == use.key][:1]
