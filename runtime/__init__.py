"""The plumbing the daemons share.

The loop around a pure core, control socket, log, counters, sd_notify, exit statuses.
"""
