# A Flask app served by gunicorn's gevent workers: each answers many requests at once, in greenlets.
# The blocking Settings.llm.complete() is all it needs, as gevent makes the sockets below it give way.
from flask import Flask, request
from llama_index.core import Settings
from llama_index.llms.openai import OpenAI

Settings.llm = OpenAI(model="gpt-4o-mini")

app = Flask(__name__)


@app.get("/health")
def health():
    return {"ok": True}


@app.post("/ask")
def ask():
    answer = Settings.llm.complete(request.get_json()["q"])
    return {"answer": answer.text}
