"""Are the tests any good? Each mutation takes one rule out; a test must fail."""
