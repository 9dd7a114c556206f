#!/bin/sh
exec env -i PATH="$PATH" HOME="$HOME" OPENAI_API_BASE="$OPENAI_API_BASE" OPENAI_API_KEY="$OPENAI_API_KEY" \
  gunicorn app:app --preload --workers 2 --bind "0.0.0.0:${PORT:-8000}"
