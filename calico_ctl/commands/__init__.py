"""WHAT THE USER TYPES: each module's docstring is its usage text, then `run`."""
