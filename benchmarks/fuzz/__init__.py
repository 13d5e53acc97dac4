"""Long runs of hostile input; short ones are among the tests (tests/attacks)."""
