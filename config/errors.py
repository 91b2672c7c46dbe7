"""The root of all errors in what an operator writes: settings and files."""


class ConfigError(Exception):
    """A setting or a file of the operator's is wrong or missing. The text names it and says what to write instead."""
