#!/bin/sh
set -e
python check.py
celery --app tasks worker --concurrency 3 --loglevel INFO &
exec gunicorn web:app --workers 2 --worker-class uvicorn_worker.UvicornWorker --bind "0.0.0.0:${PORT:-8000}"
