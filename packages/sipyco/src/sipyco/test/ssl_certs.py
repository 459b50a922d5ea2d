"""Certificates of `sipyco_rpc.testing` under their historical names."""

from sipyco_rpc.testing import create_ssl_certs, create_ssl_config

__all__ = ["create_ssl_certs", "create_ssl_config"]
