#!/bin/sh
PORT="${PORT:-8000}"
export INDEX_PORT="$((PORT + 1))"

python index_server.py &
exec gunicorn web:app --workers 2 --bind "0.0.0.0:$PORT"
