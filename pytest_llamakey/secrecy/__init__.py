"""Keys: how they are made, delivered, recognised, and kept from being shown."""
