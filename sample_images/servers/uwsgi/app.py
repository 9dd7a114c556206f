# A Flask app served by uWSGI: the first process loads it once and forks the workers, so the start-up check runs once.
# With --http, one more process listens on the port and passes the requests on to them.
import os

from flask import Flask, request
from llama_index.core import Settings
from llama_index.llms.openai import OpenAI

# What is raised here ends uWSGI (by --need-app), so a deployment whose key does not work is never ready.
if not os.environ.get("OPENAI_API_KEY"):
    raise RuntimeError("OPENAI_API_KEY is not set: not starting without it")
OpenAI(model="gpt-4o-mini").complete("ping", max_tokens=1)

Settings.llm = OpenAI(model="gpt-4o-mini")

app = Flask(__name__)


@app.get("/health")
def health():
    return {"ok": True}


@app.post("/ask")
def ask():
    answer = Settings.llm.complete(request.get_json()["q"])
    return {"answer": answer.text}
