"""The Docker Engine: the one room that knows docker-py."""
