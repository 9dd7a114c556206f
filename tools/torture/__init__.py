"""What the plugin has to survive: kills, planted keys, hostile input, faults. See ``docs/torture.md``."""
