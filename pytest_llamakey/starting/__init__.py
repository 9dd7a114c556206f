"""Waits until a deployment serves, and says at once when it never will."""
