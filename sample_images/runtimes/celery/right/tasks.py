# What the Celery worker does. It is another entry point than web.py, and loads the .env for itself.
import os

from celery import Celery
from dotenv import load_dotenv
from llama_index.core import Settings
from llama_index.llms.openai import OpenAI

load_dotenv()

celery = Celery("tasks", broker=os.environ["CELERY_BROKER_URL"])

Settings.llm = OpenAI(model="gpt-4o-mini")


@celery.task(name="tasks.summarize")
def summarize(text: str) -> str:
    return Settings.llm.complete(f"Summarize in one sentence: {text}").text
