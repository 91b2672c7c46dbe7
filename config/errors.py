"""The root of all errors in settings and files that an operator writes."""


class ConfigError(Exception):
    """A setting or file is wrong or missing. The text names it and says what to write instead."""
