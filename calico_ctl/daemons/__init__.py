"""What runs inside calico-node; each is `calicoctl daemon <name>` and can be run by hand."""
