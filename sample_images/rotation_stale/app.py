# The app fills its settings from the environment when it is first started, and keeps them in a file on a volume.
# The next deployment brings a new key and finds the old one in that file.
import json
import os
from pathlib import Path

from flask import Flask, request
from llama_index.core import Settings
from llama_index.llms.openai import OpenAI

SETTINGS = Path("data/settings.json")

if not SETTINGS.exists():
    SETTINGS.parent.mkdir(exist_ok=True)
    SETTINGS.write_text(json.dumps({"model": "gpt-4o-mini", "api_key": os.environ["OPENAI_API_KEY"]}))

Settings.llm = OpenAI(**json.loads(SETTINGS.read_text()))

app = Flask(__name__)


@app.get("/health")
def health():
    return {"ok": True}


@app.post("/ask")
def ask():
    answer = Settings.llm.complete(request.get_json()["q"])
    return {"answer": answer.text}
