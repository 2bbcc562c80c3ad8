"""The home agent.

Accepts registrations, forwards, shares its bindings with its peers, says when it may be announced.
"""
