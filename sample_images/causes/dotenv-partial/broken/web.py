import os
import socket

import httpx
from dotenv import load_dotenv
from flask import Flask, request

load_dotenv()

index_port = int(os.environ["INDEX_PORT"])
index = httpx.Client(base_url=f"http://127.0.0.1:{index_port}", timeout=60)

app = Flask(__name__)


@app.get("/health")
def health():
    try:
        socket.create_connection(("127.0.0.1", index_port), timeout=5).close()
    except OSError:
        return {"ok": False}, 503
    return {"ok": True}


@app.post("/ask")
def ask():
    return index.post("/", json=request.get_json()).raise_for_status().json()
