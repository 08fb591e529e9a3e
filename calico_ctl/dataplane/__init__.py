"""The kernel's network: links, routes, nftables, BIRD; plans come in, commands go out."""
