"""What is read of projects of other kinds, and what is said to be open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_llamakey.guess.fields import Draft
    from tests.guess.conftest import Project


FASTAPI = """
from typing import Annotated, Literal, Optional
from fastapi import APIRouter, Depends, FastAPI, File, Form, Header, UploadFile
from pydantic import BaseModel, Field

class Message(BaseModel):
    role: str
    content: str = Field(..., max_length=10)

class Body(BaseModel):
    messages: list[Message]
    model: Literal["small", "large"]
    stream: bool = False
    top: Optional[int] = None

router = APIRouter(prefix="/chat")
app = FastAPI()

{route}
async def talk({parameters}):
    return await engine.achat("hello")

app.include_router(router, prefix="/v1")

@app.get("/healthz")
def alive(): ...

@app.get("/ready")
def ready(): ...
"""
POST = '@app.post("/ask")'
CASES: list[tuple[str, str, Any]] = [
    (
        '@router.post("/{user_id}")',
        "user_id: int, body: Body, user=Depends(who)",
        {
            "method": "POST",
            "path": "/v1/chat/1",
            "json": {"messages": [{"role": "user", "content": "ping"}], "model": "small"},
        },
    ),
    ('@app.get("/ask")', "q: str, top: int = 3", {"method": "GET", "path": "/ask?q=ping"}),
    (POST, "q: Annotated[str, Form()]", {"method": "POST", "path": "/ask", "data": {"q": "ping"}}),
    (POST, "one: Message, two: Message", {"method": "POST", "path": "/ask", "json": {
        "one": {"role": "user", "content": "ping"}, "two": {"role": "user", "content": "ping"}}}),
    ('@app.websocket("/talk")', "ws", {"websocket": "/talk", "send": ["ping"]}),
]  # fmt: skip


@pytest.mark.parametrize(("route", "parameters", "request_"), CASES)
def test_what_a_fastapi_route_takes(project: Project, route: str, parameters: str, request_: Any) -> None:
    made = project(main_DOT_py=FASTAPI.format(route=route, parameters=parameters))
    assert made.get("request") == request_
    assert made.get("ready") == "/ready"
    assert made.get("command") == ["uvicorn", "main:app", "--host", "0.0.0.0", "--port", "{port}"]


def test_what_cannot_be_made_up_is_said(project: Project) -> None:
    text = FASTAPI.format(route=POST, parameters="file: UploadFile, token: str = Header()")
    made = project(main_DOT_py=text)
    assert made.open[:2] == [
        "request: main.py:20 also takes the upload file",
        "request: main.py:20 also takes the header token",
    ]


FLASK = """
import os
from flask import Flask, request
from dotenv import load_dotenv
load_dotenv()
app = Flask(__name__)
DATABASE = os.environ["DATABASE_URL"]

def answer(question):
    return llm.complete(question)

@app.route("/api/ask", methods=["GET", "POST"])
def ask():
    data = request.get_json(force=True) or {}
    return answer(data.get("question")) + data["tone"]
"""


def test_flask_a_procfile_and_a_dotenv(project: Project) -> None:
    made = project(
        app_DOT_py=FLASK, Procfile="release: x\nweb: gunicorn -w 3 app:app --bind 0.0.0.0:$PORT\n", _DOT_env=""
    )
    assert made.runtime == "process"
    assert made.get("command") == ["gunicorn", "-w", "3", "app:app", "--bind", "0.0.0.0:{port}"]
    assert made.get("workers") == 3
    assert made.get("key") == "dotenv:.env"
    assert made.get("request") == {"method": "POST", "path": "/api/ask", "json": {"question": "ping", "tone": "ping"}}
    assert any("app.py:7 needs DATABASE_URL" in line for line in made.open)


DJANGO_VIEWS = """
import json
from django.http import JsonResponse
from django.views import View

def health(request):
    return JsonResponse({})

def ask(request):
    question = json.loads(request.body)["question"]
    return JsonResponse({"answer": engine.query(question)})

class Chat(View):
    def post(self, request, room):
        return JsonResponse({"answer": engine.chat(request.POST["message"])})
"""


@pytest.mark.parametrize(
    ("view", "request_"),
    [
        ("views.ask", {"method": "POST", "path": "/api/talk/", "json": {"question": "ping"}}),
        ("views.Chat.as_view()", {"method": "POST", "path": "/api/talk/", "data": {"message": "ping"}}),
    ],
)
def test_django(project: Project, view: str, request_: Any) -> None:
    made = project(
        site__wsgi_DOT_py="from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n",
        site__urls_DOT_py='urlpatterns = [path("healthz", views.health), path("api/", include("chat.urls"))]\n',
        chat__urls_DOT_py=f'urlpatterns = [re_path(r"^talk/$", {view})]\n',
        chat__views_DOT_py=DJANGO_VIEWS,
    )
    assert made.get("command") == ["gunicorn", "site.wsgi:application", "--bind", "0.0.0.0:{port}"]
    assert made.get("ready") == "/healthz"
    assert made.get("request") == request_


def test_a_front_end_that_nothing_says_how_to_start(project: Project) -> None:
    made = project(app_DOT_py="import streamlit as st\nst.write(llm.complete('ping'))\n")
    assert made.get("command")[:3] == ["streamlit", "run", "app.py"]
    assert made.get("command")[-2:] == ["--server.port", "{port}"]
    assert made.get("ready") == "/_stcore/health"
    assert any("sample_images/frontends/streamlit/ask.py" in line for line in made.open)


def test_a_procfile_with_a_front_end(project: Project) -> None:
    made = project(
        Procfile="web: streamlit run chat.py --server.port=$PORT\n",
        chat_DOT_py="import streamlit as st\n",
        ask_DOT_py="",
    )
    assert made.get("command") == ["streamlit", "run", "chat.py", "--server.port={port}"]
    assert made.get("request") == {"command": ["python", "ask.py", "{url}"]}


@pytest.mark.parametrize(
    ("command", "expected", "workers"),
    [
        ("CMD uvicorn a:a --port ${PORT:-80} --workers 2", ["uvicorn", "a:a", "--port", "{port}", "--workers", "2"], 2),
        ('CMD ["sh", "-c", "exec gunicorn app:app -b :8080"]', ["gunicorn", "app:app", "-b", ":{port}"], 1),
        ('ENTRYPOINT ["gunicorn", "app:app"]\nCMD ["-b", ":8080"]', None, 1),
        ("CMD ./up && gunicorn a:a -w 4 -b :$PORT", ["sh", "-c", "./up && gunicorn a:a -w 4 -b :$PORT"], 4),
    ],
)  # fmt: skip
def test_the_ways_a_dockerfile_starts(project: Project, command: str, expected: Any, workers: int) -> None:
    made = project(Dockerfile=f"FROM x\nEXPOSE 8080\n{command}\n", app_DOT_py=FLASK)
    assert made.runtime == "docker"
    assert made.get("command") == expected
    assert made.get("workers") == workers
    assert made.get("port") == 8080
    assert (made.get("env") == {"PORT": "{port}"}) == ("$PORT" in str(expected))


def test_workers_of_gunicorns_own_file(project: Project) -> None:
    made = project(app_DOT_py=FLASK, gunicorn_DOT_conf_DOT_py="workers = 5\n")
    assert made.get("workers") == 5
    assert draft_of_cpus(project).get("workers") is None


def draft_of_cpus(project: Project) -> Draft:
    return project(gunicorn_DOT_conf_DOT_py="import os\nworkers = os.cpu_count() * 2\n")


COMPOSE = """
services:
  db: { image: postgres }
  web:
    image: registry/app:1
    environment:
      OPENAI_API_KEY: ${MY_KEY}
"""


def test_a_compose_file(project: Project) -> None:
    made = project(compose_DOT_yaml=COMPOSE, app_DOT_py=FLASK)
    assert (made.runtime, made.get("service"), made.get("key")) == ("compose", "web", "env:MY_KEY")


def test_a_compose_file_says_how_it_is_started_where_the_dockerfile_does_not(project: Project) -> None:
    compose = """services:
  web: {build: ., command: gunicorn -w 3 app:app, environment: {OPENAI_API_KEY: "${MY_KEY}"}}
  worker: {build: ., command: celery -A jobs worker}
  redis: {build: ./redis}
"""
    made = project(compose_DOT_yaml=compose, app_DOT_py=FLASK, Dockerfile="FROM x\nCOPY . .\n")
    assert (made.runtime, made.get("service"), made.get("key")) == ("compose", "web", "env:MY_KEY")
    assert (made.get("workers"), [each.why for each in made.fields if each.name == "workers"]) == (
        3,
        ["compose.yaml:2"],
    )
    assert any(line.startswith("compose.yaml runs this code in worker too:") for line in made.also)


def test_where_the_web_hands_on_all_its_work_the_worker_is_under_test(project: Project) -> None:
    compose = """services:
  web: {build: ., command: gunicorn app:app, ports: ["80:80"], environment: {OPENAI_API_KEY: "${OPENAI_API_KEY}"}}
  jobs: {build: ., command: celery -A tasks worker --concurrency 2}
"""
    app = """from flask import Flask
from tasks import summarize
app = Flask(__name__)
@app.post("/ask")
def ask():
    return summarize.delay("x").id
"""
    tasks = """from celery import Celery
celery = Celery("tasks")
@celery.task
def summarize(text):
    return llm.complete(text)
"""
    made = project(compose_DOT_yaml=compose, app_DOT_py=app, tasks_DOT_py=tasks)
    assert (made.get("service"), made.get("workers"), made.get("request")) == ("jobs", 2, None)
    assert made.get("task") == {"app": "tasks", "name": "tasks.summarize", "args": ["ping"]}
    assert any(line.startswith("app.py:5 hands its work on:") for line in made.also)


def test_a_compose_file_beside_a_dockerfile(project: Project) -> None:
    made = project(compose_DOT_yaml=COMPOSE, app_DOT_py=FLASK, Dockerfile="FROM x\nEXPOSE 80\nCMD gunicorn app:app\n")
    assert made.runtime == "docker"
    assert any(line.startswith("compose.yaml starts it with db beside it:") for line in made.also)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("FastAPI", ["uvicorn", "--factory", "app:make", "--host", "0.0.0.0", "--port", "{port}"]),
        ("Flask", ["gunicorn", "app:make()", "--bind", "0.0.0.0:{port}"]),
    ],
)
def test_an_app_that_a_function_makes(project: Project, kind: str, words: list[str]) -> None:
    route = "    @app.get('/ask')\n    def ask(): return llm.complete('x')\n"
    made = project(app_DOT_py=f"def make():\n    app = {kind}()\n{route}    return app\n")
    assert made.get("command") == words
    assert made.get("request") == {"method": "GET", "path": "/ask"}


def test_azure(project: Project) -> None:
    made = project(app_DOT_py=FLASK.replace("llm.complete", "AzureOpenAI().complete"))
    assert made.get("key") == "env:AZURE_OPENAI_API_KEY"
    assert made.get("env")["AZURE_OPENAI_ENDPOINT"] == "{endpoint}"


def test_nothing_at_all(project: Project) -> None:
    made = project(README="hello")
    assert made.runtime == ""
    assert made.open


def test_the_workers_that_a_script_makes_where_nobody_says_another_number(project: Project) -> None:
    script = "#!/bin/sh\nexec gunicorn app:app --workers ${WORKERS:-3}\n"
    dockerfile = 'FROM x\nEXPOSE 80\nENTRYPOINT ["./start.sh"]\n'
    made = project(app_DOT_py=FLASK, start_DOT_sh=script, Dockerfile=dockerfile)
    assert made.get("workers") == 3
    made = project(
        app_DOT_py=FLASK, start_DOT_sh=script, Dockerfile=dockerfile.replace("FROM x", "FROM x\nENV WORKERS=5")
    )
    assert made.get("workers") == 5


@pytest.mark.parametrize(
    ("base", "why"),
    [
        ("FROM python:3.12", "Dockerfile"),
        ("ARG TAG=3.12\nFROM python:${TAG}", "Dockerfile"),
        ("ARG BASE=python:3\nFROM ${BASE}", "Dockerfile; another base image: --llamakey-build-arg BASE=<image>"),
    ],
)
def test_a_build_argument_that_names_the_base_image_is_told(project: Project, base: str, why: str) -> None:
    made = project(Dockerfile=f"{base}\nEXPOSE 80\nCMD gunicorn app:app -b :80\n")
    assert [each.why for each in made.fields if each.name == "build"] == [why]
