"""What the tests of drivers need."""
