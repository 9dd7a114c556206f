"""Prove that every worker of a deployed LlamaIndex app sends the right OpenAI key."""

__version__ = "0.1.0"

__all__ = ["__version__"]
