"""What of pytest-llamakey runs inside the app's own Python processes.

Its parts are modules here, so that they can be read, linted and tested one by one. They are never imported there:
:mod:`~pytest_llamakey.probe.render` joins them into the one file that is. None of them does anything on import.
"""
