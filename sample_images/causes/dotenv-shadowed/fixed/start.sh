#!/bin/sh
set -eu
export OPENAI_API_KEY="${OPENAI_API_KEY:-}"
exec gunicorn app:app --preload --workers 2 --bind "0.0.0.0:${PORT:-8000}"
