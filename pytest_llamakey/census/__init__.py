"""Looks at deployments that are running already: which of their processes started with which key.

Read-only, without a restart and without a probe: a small program (``visitor.py``) reads ``/proc`` where the processes
are, and only fingerprints of what it finds there leave the place.
"""
