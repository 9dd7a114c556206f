# The web workers: they hand each question to the index process and never call the model themselves.
# start.sh starts both.
import os

import httpx
from flask import Flask, request

index_server = httpx.Client(base_url=f"http://127.0.0.1:{os.environ['INDEX_PORT']}", timeout=60)

app = Flask(__name__)


@app.get("/health")
def health():
    try:
        return index_server.get("/").raise_for_status().json()
    except httpx.HTTPError:
        return {"ok": False, "reason": "the index is not up yet"}, 503


@app.post("/ask")
def ask():
    return index_server.post("/", json=request.get_json()).raise_for_status().json()
