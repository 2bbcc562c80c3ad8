"""The diagrams in the documentation are those of the code."""

from tests.ha.diagrams import DOCUMENT, drawn


def test_the_diagrams_are_what_the_code_does() -> None:
    document = DOCUMENT.read_text()
    assert drawn(document) == document, "run: python -m tests.ha.diagrams"
