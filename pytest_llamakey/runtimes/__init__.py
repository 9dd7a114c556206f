"""The ways of running an app, one file each."""
