"""Address arithmetic: blocks, claims, choices, as values: no I/O."""
