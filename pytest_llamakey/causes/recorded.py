"""Recorded facts in few words, for the examples that causes carry.

The scene is always the same: one container with a gunicorn main process (pid 1) and one worker (pid 7), driven by a
request, the key delivered as ``env:OPENAI_API_KEY``. An example says what is different.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pytest_llamakey.facts import (
    Call,
    CallError,
    Client,
    ClientChange,
    DeploymentFacts,
    DotenvLoad,
    Drive,
    EnvironmentChange,
    EnvironmentMiss,
    Facts,
    GateFacts,
    GateTrial,
    ImageFacts,
    Instruction,
    KeySight,
    Place,
    Process,
    Replica,
    Rollcall,
    RotationFacts,
    Sighting,
    SourceLine,
    Spawn,
)

MATCH = KeySight("match", "<key>")
MISSING = KeySight("missing")
EMPTY = KeySight("empty")
NEWLINE = KeySight("mangled", r"'<key>\n'")
FOREIGN = KeySight("different", "sk-…0a1b2c3d")

LLM = "llama_index.llms.openai.base.OpenAI"
HOST = "172.17.0.1:4010"

NO_KEY_ERROR = CallError(
    1.3,
    "openai.OpenAIError",
    "The api_key client option must be set either by passing api_key to the client or by setting the OPENAI_API_KEY "
    "environment variable",
    (Place("app.py", 14, "answer = Settings.llm.complete(q)", "ask"),),
)


def at(place: str, text: str = "", function: str = "<module>") -> tuple[Place, ...]:
    """``"app.py:5"`` as the only frame of the app."""
    file, _, line = place.rpartition(":")
    return (Place(file, int(line), text, function),)


def client(seconds: float = 0.5, key: KeySight = MATCH, where: str = "app.py:5", **more: Any) -> Client:
    """A LlamaIndex LLM built at that line."""
    base = f"http://{HOST}/v1"
    made = Client(seconds, LLM, key, host=HOST, base=base, where=at(where, 'Settings.llm = OpenAI("gpt-4o-mini")'))
    return replace(made, **more)


def call(key: KeySight = MATCH, seconds: float = 1.2, **more: Any) -> Call:
    """A chat completion sent for the driven request; right in every respect unless the key is not."""
    right = key.state == "match"
    header = "" if key.state == "missing" else "authorization"
    where = at("app.py:14", "answer = Settings.llm.complete(q)", "ask")
    status = 200 if right else 401
    sent = Call(seconds, "request", "POST", HOST, "/v1/chat/completions", header, key, status, exact=right, where=where)
    return replace(sent, **more)


def roll(key: KeySight = MATCH, setting: str = "Settings.llm", **more: Any) -> Rollcall:
    """What the LLM of the app would send."""
    return replace(Rollcall(LLM, key, HOST, setting), **more)


def change(
    seconds: float, key: KeySight = MATCH, where: str = "app.py:9", name: str = "OPENAI_API_KEY", **more: Any
) -> EnvironmentChange:
    """The variable set by the app."""
    return replace(EnvironmentChange(seconds, name, key, at(where, f'os.environ["{name}"] = key')), **more)


def miss(seconds: float, name: str, where: str = "app.py:5", text: str = "") -> EnvironmentMiss:
    """A look-up of a variable that was not set."""
    return EnvironmentMiss(seconds, name, at(where, text or f'key = os.environ.get("{name}")'))


def rekeyed(seconds: float, key: KeySight, where: str = "app.py:9", **more: Any) -> ClientChange:
    """A client's key replaced by the app."""
    return replace(ClientChange(seconds, LLM, key, at(where, "llm.api_key = key")), **more)


def spawn(
    seconds: float,
    where: str = "conf.py:3",
    text: str = "KEY = check_output(…)",
    without: tuple[str, ...] | None = None,
) -> Spawn:
    """A program that the app started."""
    return Spawn(seconds, 40, at(where, text), without)


def source(kind: Instruction, name: str, place: str = "Dockerfile:5", text: str = "", **more: Any) -> SourceLine:
    """A line of the deployment's files."""
    return replace(SourceLine(kind, at(place, text, "")[0], name), **more)


def image(**environment: KeySight) -> ImageFacts:
    """What the image carries in its variables."""
    return ImageFacts(environment)


def dotenv(seconds: float, key: KeySight = MATCH, where: str = "main.py:3", **more: Any) -> DotenvLoad:
    """``load_dotenv()`` with a ``.env`` that was found."""
    return replace(DotenvLoad(seconds, ".env", True, False, key, at(where, "load_dotenv()")), **more)


def worker(pid: int = 7, **more: Any) -> Process:
    """A worker in which all is well, but for what is said otherwise."""
    well = Process(
        pid=pid,
        ppid=1,
        role="worker",
        command="gunicorn app:app",
        python="3.11.2",
        started=0.3,
        key=MATCH,
        key_source="environ",
        environment={"OPENAI_API_KEY": MATCH},
        clients=(client(),),
        calls=(call(),),
        rollcall=(roll(),),
        versions={"openai": "1.60.0"},
        drive=Drive("called", answer=200, seconds=0.2, requests=1),
    )
    return replace(well, **more)


def keyless(pid: int = 7, **more: Any) -> Process:
    """A worker that has no key at all and cannot call."""
    nothing: dict[str, Any] = {
        "key": MISSING,
        "key_source": "",
        "environment": {},
        "clients": (client(key=MISSING),),
        "calls": (),
        "errors": (NO_KEY_ERROR,),
        "rollcall": (roll(MISSING, error="OpenAIError: The api_key client option must be set"),),
        "drive": Drive("answered", answer=500, seconds=0.4, requests=1),
    }
    return worker(pid, **{**nothing, **more})


def ended(**more: Any) -> Process:
    """A process that had no key and ended while it started; nothing ever served."""
    nothing: dict[str, Any] = {
        "role": "helper",
        "ended": 0.9,
        "clients": (),
        "errors": (),
        "rollcall": (),
        "drive": None,
    }
    return keyless(**{**nothing, **more})


def main_process(**more: Any) -> Process:
    """The supervisor, with the key in its environment."""
    environment = {"OPENAI_API_KEY": MATCH}
    made = Process(1, 0, "main", "gunicorn app:app", python="3.11.2", key=MATCH, environment=environment)
    return replace(made, **more)


def app(*processes: Process, sightings: tuple[Sighting, ...] = (), strays: tuple[Call, ...] = (), **more: Any) -> Facts:
    """The whole deployment; without processes it has one worker in which all is well."""
    about = DeploymentFacts(
        id="llamakey.toml::api",
        name="api",
        runtime="docker",
        delivered=("env:OPENAI_API_KEY",),
        driven=True,
        hosts=(HOST,),
        origins={"key": "llamakey.toml:7", "workers": "llamakey.toml:9"},
    )
    inside = processes or (main_process(), worker())
    return Facts(replace(about, **more), (Replica("web-1", inside),), sightings, strays=strays)


def gated(facts: Facts, *trials: GateTrial) -> Facts:
    """The deployment with these starts without a usable key."""
    return replace(facts, gate=GateFacts(trials))


def redeployed(facts: Facts, *processes: Process, **more: Any) -> Facts:
    """The deployment, and these processes of the one that took its place with a new key."""
    inside = processes or (main_process(), worker())
    return replace(facts, rotation=RotationFacts((Replica("web-2", inside),), **more))
