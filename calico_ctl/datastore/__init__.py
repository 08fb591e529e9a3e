"""etcd: the one room that knows it. `etcd.py` is the door; one module of functions per noun."""
