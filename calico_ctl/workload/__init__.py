"""Steps that commands and daemons share; a workload is a container with Calico interfaces."""
