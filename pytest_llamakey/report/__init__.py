"""Verdicts in, reports out; nothing in here knows how they came about."""
