# What the Celery worker does. web.py imports it too, after it has loaded the .env.
import os

from celery import Celery
from llama_index.core import Settings
from llama_index.llms.openai import OpenAI

celery = Celery("tasks", broker=os.environ["CELERY_BROKER_URL"])

Settings.llm = OpenAI(model="gpt-4o-mini")


@celery.task(name="tasks.summarize")
def summarize(text: str) -> str:
    return Settings.llm.complete(f"Summarize in one sentence: {text}").text
