# A Flask app that answers questions with LlamaIndex, served by gunicorn with two workers in each pod.
# The key comes to the container as a variable, from the Secret that deploy.yaml names.
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
    return {"answer": Settings.llm.complete(request.get_json()["q"]).text}
