"""The practice ground: network namespaces on one machine, FRR as the Internet, the real programs, numbered probes."""
