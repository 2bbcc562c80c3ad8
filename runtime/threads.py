"""Threads beside a loop: kept from holding the loop up."""

import sys

SWITCH_S = 0.0005


def step_aside() -> None:
    """A thread that computes gives the interpreter back to the loop within half a millisecond, not five.

    The loop lets go of it at each system call, some hundred times in a turn: with 5 ms of waiting behind each, no lease
    would be renewed while a thread reads a large table.
    """
    sys.setswitchinterval(SWITCH_S)
