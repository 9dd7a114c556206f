import multiprocessing

from flask import Flask, request
from llama_index.core import Settings
from llama_index.llms.openai import OpenAI

Settings.llm = OpenAI(model="gpt-4o-mini")

loaded = multiprocessing.Value("b", False)


def load_index():
    loaded.value = True


app = Flask(__name__)


@app.get("/health")
def health():
    return {"ok": True}


@app.post("/ask")
def ask():
    load_index()
    answer = Settings.llm.complete(request.get_json()["q"])
    return {"answer": answer.text}
