"""What OpenAI's and Azure OpenAI's HTTP interfaces answer, one module per resource; deterministic, no state."""
