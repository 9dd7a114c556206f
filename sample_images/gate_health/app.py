# The app refuses to serve until it has seen a key and made one minimal call with it: each worker does so while it
# starts, and gunicorn ends when one cannot. A deployment whose key does not work never takes the old one's place.
import os

from flask import Flask, request
from llama_index.core import Settings
from llama_index.llms.openai import OpenAI

if not os.environ.get("OPENAI_API_KEY"):
    raise RuntimeError("OPENAI_API_KEY is not set: not starting without it")

Settings.llm = OpenAI(model="gpt-4o-mini")
Settings.llm.complete("ping", max_tokens=1)

app = Flask(__name__)


@app.get("/health")
def health():
    return {"ok": True}


@app.post("/ask")
def ask():
    answer = Settings.llm.complete(request.get_json()["q"])
    return {"answer": answer.text}
