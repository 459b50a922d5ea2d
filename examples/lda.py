#!/usr/bin/env python3
"""A digital attenuator as a network service.

    python examples/lda.py --simulation
    sipyco_rpctool ::1 3253 call -t lda set_attenuation 5

The instrument is either simulated or one that takes lines of text over TCP: `ATT 5.00;*OPC?`,
which it answers with `1` when it is done, and `ATT?`, which it answers with the attenuation.
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


class Device(Protocol):
    """What the driver needs of an instrument. Attenuations are in dB."""

    maximum: float
    step: float

    def write(self, attenuation: float) -> None: ...

    def read(self) -> float: ...


class SimulatedDevice:
    """An instrument that exists in memory only."""

    maximum = 63.0
    step = 0.25

    def __init__(self) -> None:
        self._attenuation = 0.0

    def write(self, attenuation: float) -> None:
        self._attenuation = attenuation

    def read(self) -> float:
        return self._attenuation


class NetworkDevice:
    """An instrument that takes lines of text over TCP.

    After an error it is connected anew, by the next command.

    Args:
        address: its host and port, as `HOST:PORT`.
    """

    maximum = 63.0
    step = 0.25

    TIMEOUT = 5.0  # seconds for the instrument to answer

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise ValueError(f"expected HOST:PORT, got `{address}`")
        self._address = host.strip("[]"), int(port)
        self._socket: socket.socket | None = self._connect()

    def write(self, attenuation: float) -> None:
        # Without an answer, what is written to a connection that has broken would just be lost.
        self._exchange(f"ATT {attenuation:.2f};*OPC?")

    def read(self) -> float:
        answer = self._exchange("ATT?")
        try:
            return float(answer)
        except ValueError:
            raise ValueError(
                f"expected an attenuation from the instrument, got {answer!r}"
            ) from None

    def _connect(self) -> socket.socket:
        return socket.create_connection(self._address, self.TIMEOUT)

    def _exchange(self, command: str) -> str:
        sock, self._socket = self._socket or self._connect(), None
        try:
            sock.sendall(f"{command}\n".encode("ascii"))
            answer = self._line(sock)
        except BaseException:
            # A late answer must not be taken for that of the next command.
            sock.close()
            raise
        self._socket = sock
        return answer

    @staticmethod
    def _line(sock: socket.socket) -> str:
        received = bytearray()
        while not received.endswith(b"\n"):
            byte = sock.recv(1)
            if not byte:
                raise EOFError("the instrument closed the connection")
            received += byte
        return received.decode("ascii", "backslashreplace").strip()


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

    def _checked(self, attenuation: float) -> float:
        maximum, step = self._device.maximum, self._device.step
        if not 0 <= attenuation <= maximum:
            raise ValueError(f"attenuation must be from 0 to {maximum} dB, got {attenuation}")
        return float(round(attenuation / step) * step)


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
    simple_network_args(parser, 3253, ssl=True, port_file=True)
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
        threaded=True,  # a slow instrument keeps nobody from connecting
        ssl_config=SimpleSSLConfig(*args.ssl) if args.ssl else None,
        port_file=args.port_file,
    )


if __name__ == "__main__":
    main()
