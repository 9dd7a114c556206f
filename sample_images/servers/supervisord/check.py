# Run before anything serves: a key must be there and the model must answer with it. What is raised here ends the container,
# so a deployment whose key does not work is never ready.
import os

from llama_index.llms.openai import OpenAI

if not os.environ.get("OPENAI_API_KEY"):
    raise RuntimeError("OPENAI_API_KEY is not set: not starting without it")
OpenAI(model="gpt-4o-mini").complete("ping", max_tokens=1)
