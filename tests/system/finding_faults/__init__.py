"""`drops`, `explain`, `status`, `checksystem` and the probes on a real host, well and broken.

The files share one host. Each test begins `well` or `agentless`, which see to it themselves; all
else that it breaks, it mends. To begin as the test before it did costs nothing, so those of a kind
stand together, in the order of the files' names.
"""
