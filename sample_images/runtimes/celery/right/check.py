# Run before the workers start: a key must be there and the model must answer with it. What is raised here ends the
# container, so a deployment whose key does not work is never ready, and takes no task from the queue.
import os

from dotenv import load_dotenv
from llama_index.llms.openai import OpenAI

load_dotenv()

if not os.environ.get("OPENAI_API_KEY"):
    raise RuntimeError("OPENAI_API_KEY is not set: not starting without it")
OpenAI(model="gpt-4o-mini").complete("ping", max_tokens=1)
