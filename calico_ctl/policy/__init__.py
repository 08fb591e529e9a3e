"""Rules and tags to nftables, as values: no I/O."""
