"""The nouns: names, addresses, endpoints, profiles, rules, pools, nodes, and the etcd keys they live under.

What belongs here: frozen values, and total functions between text, JSON and those values. What
does not: anything that reads a clock, a file, a socket or the environment.
"""
