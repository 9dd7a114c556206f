"""The HTML report: one self-contained page, for people who were not there when it ran."""
