"""Recorded facts for the causes that need many: each file is named after the cause's own."""
