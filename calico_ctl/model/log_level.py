"""From which level on the policy agent logs: a setting in etcd, and the words that it may have."""

SETTING = "LogSeverityScreen"
"""What it is called among the settings of a host, and of all hosts."""

WORDS = ("none", "debug", "info", "warning", "error", "critical")


def word(value: str) -> str:
    """Return what a value says; programs of other times wrote it in capitals."""
    return value.strip().lower()


def is_one(value: str) -> bool:
    """Say whether a value names a level."""
    return word(value) in WORDS
