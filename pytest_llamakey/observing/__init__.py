"""Turns what was recorded of one replica into :mod:`facts <pytest_llamakey.facts>`."""
