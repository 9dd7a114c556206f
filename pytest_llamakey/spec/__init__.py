"""What the user wrote, read into frozen :class:`~pytest_llamakey.spec.model.Deployment` objects."""
