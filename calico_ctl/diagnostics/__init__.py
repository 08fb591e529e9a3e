"""FINDING OUT WHAT IS WRONG: checks of this machine, and bundles for whoever helps.

`check` and `collector` are the two shapes; `system` lists the checks, `plan` what a bundle holds.
Planning asks nobody; each test and each source asks through the doors below. A room beside
`workload`: neither knows the other. What is wrong with the node's services is `workload.health`'s.
"""
