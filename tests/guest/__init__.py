"""A guest with Debian's own kernel, for what the kernel of this machine lacks. Run by `make test-ip6tnl`."""
