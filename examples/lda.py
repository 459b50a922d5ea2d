#!/usr/bin/env python3
"""A digital attenuator as a network service.

    python examples/lda.py --simulation
    sipyco_rpctool ::1 3253 call -t lda set_attenuation 5

The instrument is either simulated or one that takes lines of text over TCP, such as
`ATT 5.00` and `ATT?`.
"""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Iterable
from typing import Protocol

from sipyco.common_args import (
    bind_address_from_args,
    init_logger_from_args,
    simple_network_args,
    verbosity_args,
)
from sipyco.pc_rpc import SimpleSSLConfig, simple_server_loop

MAX_ATTENUATION = 63.0  # dB, full scale of the instrument
STEP = 0.25  # dB, its resolution


class Device(Protocol):
    """What the driver needs of an instrument. Attenuations are in dB."""

    def write(self, attenuation: float) -> None: ...

    def read(self) -> float: ...


class SimulatedDevice:
    """An instrument that exists in memory only."""

    def __init__(self) -> None:
        self._attenuation = 0.0

    def write(self, attenuation: float) -> None:
        self._attenuation = attenuation

    def read(self) -> float:
        return self._attenuation


class NetworkDevice:
    """An instrument that takes lines of text over TCP.

    Args:
        address: its host and port, as `HOST:PORT`.
    """

    TIMEOUT = 5.0  # seconds for the instrument to answer

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host.strip("[]"), int(port)), self.TIMEOUT)
        self._file = self._socket.makefile("rw", encoding="ascii", newline="\n")

    def write(self, attenuation: float) -> None:
        self._file.write(f"ATT {attenuation:.2f}\n")
        self._file.flush()

    def read(self) -> float:
        self._file.write("ATT?\n")
        self._file.flush()
        answer = self._file.readline()
        if not answer:
            raise EOFError("the instrument closed the connection")
        return float(answer)


class Lda:
    """Digital attenuator, 0 to 63 dB in steps of 0.25 dB."""

    def __init__(self, device: Device) -> None:
        self._device = device

    def set_attenuation(self, attenuation: float) -> None:
        """Set the attenuation.

        :param attenuation: in dB; it is rounded to the nearest step of 0.25 dB
        """
        self._device.write(self._checked(attenuation))

    def get_attenuation(self) -> float:
        """Return the attenuation, in dB."""
        return self._device.read()

    def load_sample_values(self, values: Iterable[float]) -> int:
        """Step through attenuations, and stay at the last one.

        All of them are checked before the first one is set.

        :param values: one-dimensional array of attenuations, in dB
        :return: how many were taken
        """
        checked = [self._checked(value) for value in values]
        for attenuation in checked:
            self._device.write(attenuation)
        return len(checked)

    @staticmethod
    def _checked(attenuation: float) -> float:
        if not 0 <= attenuation <= MAX_ATTENUATION:
            raise ValueError(
                f"attenuation must be from 0 to {MAX_ATTENUATION} dB, got {attenuation}"
            )
        return float(round(attenuation / STEP) * STEP)


def get_argparser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description="Network service of a digital attenuator")
    instrument = parser.add_mutually_exclusive_group(required=True)
    instrument.add_argument(
        "--simulation", action="store_true", help="simulate the instrument; no hardware is used"
    )
    instrument.add_argument(
        "-d", "--device", metavar="HOST:PORT", help="address of the instrument"
    )
    simple_network_args(parser, 3253, ssl=True)
    verbosity_args(parser)
    return parser


def main() -> None:
    """Serve the attenuator until Ctrl-C or `terminate()`."""
    args = get_argparser().parse_args()
    init_logger_from_args(args)
    device: Device
    if args.simulation:
        device = SimulatedDevice()
    else:
        try:
            device = NetworkDevice(args.device)
        except (OSError, ValueError) as exc:
            sys.exit(f"cannot reach the instrument at {args.device}: {exc}")
    simple_server_loop(
        {"lda": Lda(device)},
        bind_address_from_args(args),
        args.port,
        description="digital attenuator",
        ssl_config=SimpleSSLConfig(*args.ssl) if args.ssl else None,
    )


if __name__ == "__main__":
    main()
