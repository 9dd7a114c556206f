# A Flask app that hands its questions to a queue; the Procfile has it beside the worker that answers them.
# No process of gunicorn's calls the model itself.
import os

from flask import Flask, request
from redis import Redis
from rq import Queue

queue = Queue(connection=Redis.from_url(os.environ["REDIS_URL"]))

app = Flask(__name__)


@app.get("/health")
def health():
    return {"ok": True}


@app.post("/ask")
def ask():
    return {"job": queue.enqueue("jobs.answer", request.get_json()["q"]).id}, 202
