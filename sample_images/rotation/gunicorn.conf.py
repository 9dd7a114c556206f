# gunicorn reads this file by itself. Each worker makes one minimal call before it serves; if one cannot, gunicorn ends.
# It is made after the fork: a connection that the preloaded app had opened before would be shared by all workers.
import os

from llama_index.core import Settings


def post_fork(server, worker):
    if not os.environ.get("OPENAI_API_KEY"):
        raise RuntimeError("OPENAI_API_KEY is not set: not starting without it")
    Settings.llm.complete("ping", max_tokens=1)
