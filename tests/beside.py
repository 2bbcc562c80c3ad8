"""How many other customers the home agents of the tests have: none, or as many as `--crowd` asks for."""

_asked: list[int] = [0]


def ask(customers: int) -> None:
    """From now on so many."""
    _asked[:] = [customers]


def customers() -> int:
    """What was asked for."""
    return _asked[0]
