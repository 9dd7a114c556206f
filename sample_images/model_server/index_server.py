# The one process that holds the index and calls the model, so that the web workers in front of it stay small.
# It is reached from inside the container only.
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from llama_index.core import Document, Settings, SummaryIndex
from llama_index.llms.openai import OpenAI

if not os.environ.get("OPENAI_API_KEY"):
    raise RuntimeError("OPENAI_API_KEY is not set: not starting without it")

Settings.llm = OpenAI(model="gpt-4o-mini")
# Raises where the key does not work: the index never comes up, and the web workers never report ready.
Settings.llm.complete("ping", max_tokens=1)

index = SummaryIndex.from_documents(
    [
        Document(text="Alpacas are kept for their fleece, which is softer than that of sheep."),
        Document(text="Llamas carry loads of up to a third of their weight over mountain paths."),
    ]
)
engine = index.as_query_engine()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.answer({"ok": True})

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer({"answer": str(engine.query(question["q"]))})

    def answer(self, body: dict) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


ThreadingHTTPServer(("127.0.0.1", int(os.environ["INDEX_PORT"])), Handler).serve_forever()
