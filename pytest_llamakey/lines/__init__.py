"""The lines of a user's files that have to do with the key."""
