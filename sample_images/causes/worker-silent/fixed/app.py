import hashlib
from pathlib import Path

from flask import Flask, request
from llama_index.core import Settings
from llama_index.llms.openai import OpenAI

Settings.llm = OpenAI(model="gpt-4o-mini")

cache = Path("cache")
cache.mkdir(exist_ok=True)

app = Flask(__name__)


@app.get("/health")
def health():
    return {"ok": True}


@app.post("/ask")
def ask():
    question = request.get_json()["q"]
    kept = cache / hashlib.sha256(question.encode()).hexdigest()
    if request.cache_control.no_cache or not kept.exists():
        kept.write_text(Settings.llm.complete(question).text)
    return {"answer": kept.read_text()}
