# A Django app in one file, served by gunicorn with two workers.
# The client is built when the first view is imported, in each worker.
import json

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path

settings.configure(SECRET_KEY="not-a-secret", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__)

from llama_index.core import Settings
from llama_index.llms.openai import OpenAI

Settings.llm = OpenAI(model="gpt-4o-mini")


def health(request):
    return JsonResponse({"ok": True})


def ask(request):
    answer = Settings.llm.complete(json.loads(request.body)["q"])
    return JsonResponse({"answer": answer.text})


urlpatterns = [path("health", health), path("ask", ask)]
app = get_wsgi_application()
