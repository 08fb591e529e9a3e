"""This machine: programs, files, kernel settings, time."""
