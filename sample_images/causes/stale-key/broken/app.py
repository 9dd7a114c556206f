import os
from pathlib import Path

from flask import Flask, request
from llama_index.core import Settings
from llama_index.llms.openai import OpenAI

saved = Path("cache/openai.key")


def openai_key():
    if not saved.exists():
        saved.parent.mkdir(exist_ok=True)
        saved.write_text(os.environ["OPENAI_API_KEY"])
    return saved.read_text()


Settings.llm = OpenAI(model="gpt-4o-mini", api_key=openai_key())

app = Flask(__name__)


@app.get("/health")
def health():
    return {"ok": True}


@app.post("/ask")
def ask():
    answer = Settings.llm.complete(request.get_json()["q"])
    return {"answer": answer.text}
