# The app keeps its settings in a file on a volume, so that they outlive a redeploy. The key is none of them:
# it is read at each start from what is delivered, so the next deployment sends the next key.
import json
from pathlib import Path

from flask import Flask, request
from llama_index.core import Settings
from llama_index.llms.openai import OpenAI

SETTINGS = Path("data/settings.json")

if not SETTINGS.exists():
    SETTINGS.parent.mkdir(exist_ok=True)
    SETTINGS.write_text(json.dumps({"model": "gpt-4o-mini"}))

Settings.llm = OpenAI(**json.loads(SETTINGS.read_text()))

app = Flask(__name__)


@app.get("/health")
def health():
    return {"ok": True}


@app.post("/ask")
def ask():
    answer = Settings.llm.complete(request.get_json()["q"])
    return {"answer": answer.text}
