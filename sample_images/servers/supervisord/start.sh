#!/bin/sh
set -e
python check.py
export PORT="${PORT:-8000}"
exec supervisord --configuration supervisord.conf
