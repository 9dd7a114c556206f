"""Reads a project that has no ``llamakey.toml`` yet, and drafts one: what it holds, by which line, and what is open."""
