"""Measures how right the diagnosis is: lays out apps, plants faults in some, runs all, and counts what was named.

The generator knows the causes' meanings and nothing of the rules that find them. ``make accuracy`` runs it; see
``docs/accuracy.md``.
"""
