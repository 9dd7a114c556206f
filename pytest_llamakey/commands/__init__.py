"""The commands of ``python -m pytest_llamakey``, one module each: ``add`` declares its words, ``run`` obeys them."""
