"""`GenericRPCCase` of `sipyco_rpc.testing` under its historical name."""

from sipyco_rpc.testing import GenericRPCCase

__all__ = ["GenericRPCCase"]
