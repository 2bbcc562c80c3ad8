"""Benchmarks: `make bench`, `make bench NAME=registration-core`. Not run by `make test`."""
