# A Flask app served by granian with two workers, each of which listens on a socket of its own.
# Each imports the app for itself, and only where a key is there and the model answers with it.
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
