"""``Facts`` and ``Finding``s in, the verdict of each check out.

A check is a small class: its docstring is its page, the first line of which is the headline of its failure. It fails on
the symptoms of its name, and on the findings that say why; the two come together
(:func:`~pytest_llamakey.causes.diagnose` leaves no symptom unexplained).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pytest_llamakey.causes import causes
from pytest_llamakey.causes.nearest import accounts_for
from pytest_llamakey.spec.model import ALL_CHECKS
from pytest_llamakey.symptoms import all_symptoms
from pytest_llamakey.symptoms.base import expected_workers, seen_workers
from pytest_llamakey.symptoms.gate import how_it_ended
from pytest_llamakey.symptoms.parity import version_hints
from pytest_llamakey.symptoms.rotation import unshown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from pytest_llamakey.facts import Facts
    from pytest_llamakey.findings import Finding
    from pytest_llamakey.spec.model import CheckName
    from pytest_llamakey.symptoms import Symptom

CheckOutcome = Literal["passed", "failed", "skipped", "error"]
Verdict = Literal["pass", "fail", "error"]
Outcome = Literal["passed", "failed"]

_MOST_TOLD = 3
_MOST_PIDS = 64
_NOT_STARTED = "It was not started again: only a deployment that became ready with its key, and was not kept, is."


@dataclass(frozen=True)
class CheckResult:
    """How one check ended; ``reason`` is a sentence for people (where it passed, at most a remark)."""

    name: CheckName
    outcome: CheckOutcome
    reason: str = ""
    findings: tuple[Finding, ...] = ()


class Check:
    """One of the documented checks.

    Attributes:
        name: as in ``--llamakey-checks``.
        by_worker: whether its verdict is about each worker, so that a missing one leaves it open.
        by_roll: whether it takes each process's answer to the roll call, so that one without leaves it open.
    """

    name: ClassVar[CheckName]
    by_worker: ClassVar[bool] = True
    by_roll: ClassVar[bool] = False

    def headline(self, facts: Facts) -> str:
        """What has failed, as a sentence without its full stop."""
        told = (type(self).__doc__ or "").partition("\n")[0].rstrip(".")
        if facts.deployment.delivered == ("none",):
            return told.replace("the delivered key", 'this run\'s key, which was not delivered (key = "none")')
        return told

    def unasked(self, facts: Facts) -> str:
        """Why this deployment cannot be held to the check, or nothing."""
        return "" if facts.deployment.probe else "probe = false: nothing inside the workers was asked."

    def left_open(self, facts: Facts) -> str:
        """What was not seen, so that the check cannot have passed, as a sentence, or nothing."""
        return (self.by_worker and missing_workers(facts)) or (self.by_roll and unanswered(facts)) or ""

    def remark(self, facts: Facts) -> str:  # noqa: ARG002 - for subclasses
        """What is worth knowing although the check passed."""
        return ""


class Keyed(Check):
    """Not every worker holds the delivered key.

    Holds when every worker process of every replica has exactly the delivered key: in its environment, from a ``.env``
    or a secret file that it read, or in a client. A probe that starts with each Python process looks; without it
    (``probe = false``) the check is skipped.

    A deployment can pass ``wire`` by luck of which worker answers. This check counts all of them: fewer workers than
    ``workers`` (times ``replicas``) leave it open, which is no pass.
    """

    name = "keyed"


class Wire(Check):
    """Not every worker's call arrives with the exact header.

    Holds when each worker, driven by the ``request`` or ``task``, makes a call that arrives at the mocked endpoint with
    exactly the credential header that its provider asks for:

        Authorization: Bearer <key>
        api-key: <key>                  (Azure)

    For each worker in turn the others are stopped (SIGSTOP), so that the request can only reach this one; a call that
    comes after the answer, or from a helper that works for the worker, counts as its own. Calls that the app makes at
    start are held to the same header. A worker that could not be made to call is a finding, never a pass. Without
    ``request`` and ``task`` the check is skipped.
    """

    name = "wire"

    def unasked(self, facts: Facts) -> str:
        """Without a request nothing makes the workers call."""
        driven = facts.deployment.driven
        return "" if driven else "The deployment gives no request and no task that would make a worker call the model."


class Rollcall(Check):
    """Not every live client would send the delivered key.

    Holds when every LlamaIndex LLM and embedding and every OpenAI client that is alive in a worker, among them
    ``Settings.llm`` and ``Settings.embed_model``, sends the delivered key in a minimal call of a copy of it. It finds
    the second client that no request of the test happens to use. A process that does not answer leaves it open.
    """

    name = "rollcall"
    by_roll = True

    def remark(self, facts: Facts) -> str:
        """Say so where there was nothing to ask."""
        rows = any(process.rollcall for replica in facts.replicas for process in replica.processes)
        return "" if rows else "No client was alive in any process when they were asked."


class Parity(Check):
    """What decides a call is not the same in all workers.

    Holds when key, host, API base, organisation and project, the clients' classes and the SDK versions are the same in
    all workers of all replicas, and key, host and base the same as in a plain process with these settings where the
    tests run. Other SDK versions there are told and are no failure.
    """

    name = "parity"
    by_roll = True

    def remark(self, facts: Facts) -> str:
        """Other SDK versions than in the reference process are no failure."""
        return "; ".join(version_hints(facts))


class Exposure(Check):
    """The key can be read where it should not be.

    Holds when the key is in no log line and no answer of the app, and in nothing that the image shows: its layers, its
    history, its variables and build arguments.
    """

    name = "exposure"
    by_worker = False

    def unasked(self, facts: Facts) -> str:  # noqa: ARG002 - the same for every deployment
        """Logs and images can always be read."""
        return ""


class Gate(Check):
    """The app reports ready without a usable key.

    Holds when the app, started once without a key and once with a wrong one, does not report ready either time: its
    ``ready`` path does not answer below 400, or it ends. Two more starts; only on request:

        pytest --llamakey --llamakey-checks default,gate

    A health check that makes one minimal call of the model while the app starts refuses in both cases.
    """

    name = "gate"
    by_worker = False

    def unasked(self, facts: Facts) -> str:
        """It takes further starts of a deployment that is ready with the right key."""
        return _NOT_STARTED if facts.gate is None else facts.gate.unasked

    def left_open(self, facts: Facts) -> str:
        """A start that could not be made proves nothing."""
        return " ".join(f"{how_it_ended(trial)}." for trial in facts.gate.trials if trial.fault) if facts.gate else ""

    def remark(self, facts: Facts) -> str:
        """How the app refused."""
        ends = "; ".join(map(how_it_ended, facts.gate.trials)) if facts.gate else ""
        return f"{ends[:1].upper()}{ends[1:]}."


class Rotation(Check):
    """A worker still sends the key of the deployment before.

    Holds when, after a redeploy with a new key, every worker is driven once more and none sends the old one: no key was
    built into the image, kept in a file or a cache, or left in a process that lived on. It takes one more start, and is
    made only on request:

        pytest --llamakey --llamakey-checks default,rotation

    On Kubernetes, rotation = "in-place" changes the Secret alone: nothing is started anew, and the processes that go
    on are to send the new key.
    """

    name = "rotation"

    def unasked(self, facts: Facts) -> str:
        """It takes a second deployment in the place of one that was ready."""
        return _NOT_STARTED if facts.rotation is None else facts.rotation.unasked

    def left_open(self, facts: Facts) -> str:
        """Every worker of both deployments is to be seen."""
        return missing_workers(facts) or unshown(facts)


CHECKS: Mapping[CheckName, Check] = {
    check.name: check for check in (Keyed(), Wire(), Rollcall(), Parity(), Exposure(), Gate(), Rotation())
}


def judge(facts: Facts, findings: Sequence[Finding], wanted: Iterable[CheckName]) -> tuple[CheckResult, ...]:
    """The result of each wanted check, in their documented order; ``findings`` are those of ``diagnose(facts)``."""
    asked = set(wanted)
    symptoms = all_symptoms(facts)
    return tuple(
        _judge(CHECKS[name], facts, [s for s in symptoms if s.check == name], findings)
        for name in ALL_CHECKS
        if name in asked
    )


def _judge(check: Check, facts: Facts, symptoms: Sequence[Symptom], findings: Sequence[Finding]) -> CheckResult:
    why = _why(check.name, symptoms, findings)
    short = check.left_open(facts)
    if symptoms or any(finding.check == check.name for finding in findings):
        told = list(dict.fromkeys(symptom.what for symptom in symptoms))
        more = [f"and {len(told) - _MOST_TOLD} more"] if len(told) > _MOST_TOLD else []
        sentence = f"{check.headline(facts)}: {'; '.join([*told[:_MOST_TOLD], *more]) or 'see the findings'}."
        return CheckResult(check.name, "failed", " ".join(filter(None, [sentence, short])), why)
    unasked = check.unasked(facts)
    if unasked:
        return CheckResult(check.name, "skipped", unasked)
    if short:
        return CheckResult(check.name, "error", short)
    return CheckResult(check.name, "passed", check.remark(facts))


def _why(name: CheckName, symptoms: Sequence[Symptom], findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings that say why a check fails: its own, and those that break an earlier check for the same reason."""
    explains = {cause.name: cause.explains for cause in causes()}
    symptomatic = {symptom.worker for symptom in symptoms} - {None}
    own = [
        finding
        for finding in findings
        if finding.check == name or any(accounts_for(finding, symptom, explains) for symptom in symptoms)
    ]
    # A cause without a file of its own does not say what it explains; a broken helper explains its web workers.
    near = [f for f in findings if symptomatic.intersection(f.workers)] or list(findings)
    return tuple(own or near) if symptoms or own else ()


def missing_workers(facts: Facts) -> str:
    """What is wrong with the number of workers, as a sentence, or nothing."""
    seen, each = seen_workers(facts), facts.deployment.expected_workers
    if each is None:
        return "" if seen else "At least one worker process expected, none found."
    counts = {replica.id: 0 for replica in facts.replicas} | Counter(replica.id for replica, _worker in seen)
    missing = max(1, facts.deployment.replicas) - len(counts)
    # A queue's pool may grow with its tasks (celery --autoscale).
    grows = any(worker.drive is not None and worker.drive.via == "task" for _replica, worker in seen)
    if not missing and all(count == each or (grows and count > each) for count in counts.values()):
        return ""
    found = f"{len(seen)} found: {_named([worker.pid for _replica, worker in seen])}" if seen else "none found"
    origin = facts.deployment.origins.get("workers")
    many = max(counts.values(), default=0)
    if many > each and min(counts.values()) >= each:
        advice = f" If they are meant, write workers = {many}; if not, see what starts them."
    else:
        advice = ""
    total = expected_workers(facts) or each
    return f"{total} worker{'' if total == 1 else 's'} expected{f' ({origin})' if origin else ''}, {found}.{advice}"


def unanswered(facts: Facts) -> str:
    """Which processes did not answer the roll call, as a sentence, or nothing."""
    mute = [pid for replica in facts.replicas for pid in replica.unanswered]
    if not mute:
        return ""
    return (
        f"No answer to the roll call from {_named(mute)}, so nobody saw its clients: the main thread was in C code all "
        "the time, or the app handles SIGURG itself, by which the probe is woken."
    )


def _named(pids: Sequence[int]) -> str:
    """``pid 7``, or ``pids 7, 8``, and how many more where they are too many to tell."""
    more = f" and {len(pids) - _MOST_PIDS} more" if len(pids) > _MOST_PIDS else ""
    return f"pid{'' if len(pids) == 1 else 's'} {', '.join(map(str, pids[:_MOST_PIDS]))}{more}"


def verdict_of(results: Iterable[CheckResult]) -> Verdict:
    """What was found: ``fail`` if any check failed, else ``error`` if any could not be judged, else ``pass``."""
    outcomes = {result.outcome for result in results}
    return "fail" if "failed" in outcomes else "error" if "error" in outcomes else "pass"


def outcome_of(verdict: Verdict, causes_found: Collection[str], expect: Collection[str]) -> Outcome:
    """The verdict held against what the user expects: exactly these causes, or, without any, a pass."""
    if expect:
        return "passed" if set(causes_found) == set(expect) else "failed"
    return "passed" if verdict == "pass" else "failed"


def mismatch(causes_found: Collection[str], expect: Collection[str]) -> str:
    """How what was found differs from ``expect``, as a sentence, or nothing."""
    if not expect or set(causes_found) == set(expect):
        return ""
    found = ", ".join(sorted(set(causes_found))) or "nothing"
    return f"Expected the causes {', '.join(sorted(set(expect)))}; found {found}."
