from dotenv import load_dotenv
from flask import Flask, request

from llm import llm

load_dotenv()

app = Flask(__name__)


@app.get("/health")
def health():
    return {"ok": True}


@app.post("/ask")
def ask():
    answer = llm.complete(request.get_json()["q"])
    return {"answer": answer.text}
