"""The nouns: names, addresses, endpoints, profiles, rules, pools, nodes, and their etcd keys.

What belongs here: frozen values, and total functions between text, JSON and those values. What
does not: anything that reads a clock, a file, a socket or the environment.
"""
