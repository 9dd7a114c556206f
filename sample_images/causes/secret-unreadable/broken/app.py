import os
from functools import cache
from pathlib import Path

from flask import Flask, request
from llama_index.llms.openai import OpenAI


@cache
def llm():
    key = Path(os.environ["OPENAI_API_KEY_FILE"]).read_text().strip()
    return OpenAI(model="gpt-4o-mini", api_key=key)


app = Flask(__name__)


@app.get("/health")
def health():
    return {"ok": True}


@app.post("/ask")
def ask():
    answer = llm().complete(request.get_json()["q"])
    return {"answer": answer.text}
