"""Octets nobody meant: into the codec and into the home agent."""
