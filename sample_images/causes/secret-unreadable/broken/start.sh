#!/bin/sh
set -e
chmod 0400 "$OPENAI_API_KEY_FILE"
exec setpriv --reuid=app --regid=app --init-groups \
  gunicorn app:app --preload --workers 2 --bind "0.0.0.0:${PORT:-8000}"
