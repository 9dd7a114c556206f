"""How what an image carries becomes sightings: each thing once, by the line of the user's file that put it there."""

from __future__ import annotations

import pytest

from pytest_llamakey.exposure import image_sightings
from pytest_llamakey.facts import Client, ImageFacts, KeySight, Place, Process, Replica, Sighting, SourceLine

KEY = KeySight("different", "sk-…0a1b2c3d")
ENV = SourceLine("env", Place("web/Dockerfile", 7), "OPENAI_API_KEY", KEY)
ARG = SourceLine("arg", Place("web/Dockerfile", 3), "OPENAI_API_KEY")
RUN = SourceLine("run", Place("web/Dockerfile", 9), key=KEY)


def seen(*steps: str, source=(), lines=(), replicas=()):
    contents = ImageFacts(history=steps, lines=lines)
    return [(one.where, one.place) for one in image_sightings(contents, source, replicas)]


def test_a_clean_image_gives_none():
    assert list(image_sightings(ImageFacts({"OPENAI_API_KEY": KEY}), (ENV,), ())) == []


@pytest.mark.parametrize(
    ("step", "source", "where", "place"),
    [
        ("ENV OPENAI_API_KEY=sk-…0a1b2c3d", ENV, "history", "web/Dockerfile:7"),
        ("/bin/sh -c #(nop) ENV OPENAI_API_KEY=sk-…0a1b2c3d", ENV, "history", "web/Dockerfile:7"),
        ("RUN |1 OPENAI_API_KEY=sk-…ffffffff /bin/sh -c make # buildkit", ARG, "build-arg", "web/Dockerfile:3"),
        ("|1 OPENAI_API_KEY=sk-…ffffffff /bin/sh -c make", ARG, "build-arg", "web/Dockerfile:3"),
        ("/bin/sh -c #(nop)  ARG OPENAI_API_KEY=sk-…ffffffff", ARG, "build-arg", "web/Dockerfile:3"),
        ("RUN /bin/sh -c echo sk-…0a1b2c3d > k # buildkit", RUN, "history", "web/Dockerfile:9"),
        ("RUN |1 V=1 /bin/sh -c echo sk-…0a1b2c3d > k", RUN, "history", "web/Dockerfile:9"),
        ("ENV OPENAI_API_KEY=sk-…0a1b2c3d", None, "history", "the image's history"),
    ],
)
def test_steps_are_told_by_their_line(step, source, where, place):
    assert seen(step, source=(source,) if source else ()) == [(where, place)]


def test_an_argument_is_told_once_though_every_later_step_shows_it():
    steps = [f"RUN |1 OPENAI_API_KEY=sk-…ffffffff /bin/sh -c step{n}" for n in range(3)]
    assert seen(*steps, source=(ARG,)) == [("build-arg", "web/Dockerfile:3")]
    assert len(seen(*steps)) == 3


def test_lines_of_files_but_for_code_that_is_in_use():
    lines = (Place("/app/.env", 2, "OPENAI_API_KEY=sk-…0a1b2c3d"), Place("/app/llm.py", 4, "x"))
    client = Client(0.1, "openai.OpenAI", KEY, literal=Place("llm.py", 4))
    user = Replica("web", (Process(7, 1, "worker", "gunicorn", clients=(client,)),))
    other = Replica("web", (Process(7, 1, "worker", "gunicorn"),))
    assert seen(lines=lines, replicas=(user,)) == [("layer", "/app/.env:2")]
    assert seen(lines=lines, replicas=(other,)) == [("layer", "/app/.env:2"), ("layer", "/app/llm.py:4")]
    (first, *_) = image_sightings(ImageFacts(lines=lines), (), ())
    assert first == Sighting("layer", "/app/.env:2", "OPENAI_API_KEY=sk-…0a1b2c3d")
