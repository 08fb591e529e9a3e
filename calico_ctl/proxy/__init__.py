"""The Docker API's conversation: bytes in, what shall be done out. No sockets, no clocks.

Framing, the decisions on calls, and what is changed in bodies live here; who listens and who
carries out what is decided lives in `daemons/docker_proxy.py`.
"""
