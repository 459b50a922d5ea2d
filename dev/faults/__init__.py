"""A bad network between two programs, for the tests and for `dev.soak`."""

HOST = "127.0.0.1"
DEADLINE = 50.0  # seconds until what is waited for has failed, on a machine that is busy
