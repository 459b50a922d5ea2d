"""What each of these tests leaves open is an error."""

from support.leaks import nothing_is_left

__all__ = ["nothing_is_left"]
