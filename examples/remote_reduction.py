#!/usr/bin/env python3
"""Reduce large images in the camera's server, and send only the result.

    python examples/remote_reduction.py serve
    python examples/remote_reduction.py measure ::1

The camera is simulated. `measure` sends a function to the server, where it runs beside the driver:
what travels is the position of a spot, not the images that it was found in.

Whoever can connect to such a server can run any code in it, so this one listens on localhost
unless it is told otherwise.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import numpy.typing as npt

from sipyco.common_args import (
    bind_address_from_args,
    init_logger_from_args,
    simple_network_args,
    verbosity_args,
)
from sipyco.pc_rpc import Client
from sipyco.remote_exec import simple_rexec_server_loop

PORT = 3263
PATIENCE = 30.0  # seconds for the server to answer

REDUCTION = '''\
import numpy as np


def find_spot(count):
    """Average images, and return the row and column of their centre of brightness."""
    image = np.mean([controller_driver.take_image() for _ in range(count)], axis=0)
    image -= np.median(image)
    image[image < image.max() / 2] = 0
    rows, columns = np.indices(image.shape)
    return [float((axis * image).sum() / image.sum()) for axis in (rows, columns)]
'''


class Camera:
    """Camera that looks at a spot of light."""

    SHAPE = (480, 640)  # rows, columns
    SPOT = (200.0, 330.0)
    WIDTH = 12.0  # standard deviation of the spot, in pixels

    def __init__(self) -> None:
        self._random = np.random.default_rng()
        rows, columns = np.indices(self.SHAPE)
        distance = np.hypot(rows - self.SPOT[0], columns - self.SPOT[1])
        self._light = np.exp(-((distance / self.WIDTH) ** 2) / 2)

    def take_image(self) -> npt.NDArray[np.float64]:
        """Return an image: an array of 480 rows and 640 columns of brightnesses."""
        image: npt.NDArray[np.float64] = self._light + self._random.normal(0, 0.02, self.SHAPE)
        return image


def serve(args: argparse.Namespace) -> None:
    """Serve the camera until Ctrl-C or `terminate()`."""
    init_logger_from_args(args)
    simple_rexec_server_loop(
        "camera", Camera(), bind_address_from_args(args), args.port, "simulated camera"
    )


def measure(args: argparse.Namespace) -> None:
    """Have the server find the spot, and print where it is."""
    with Client(args.server, args.port, "camera_rexec", PATIENCE) as rexec:
        rexec.add_code(REDUCTION)
        row, column = rexec.call("find_spot", args.count)
    megabytes = args.count * np.prod(Camera.SHAPE) * 8 / 1e6
    print(f"the spot is at row {row:.1f}, column {column:.1f}")
    print(f"images of {megabytes:.0f} MB stayed where they were")


def get_argparser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description="Reduction of images in the camera's server")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serving = commands.add_parser("serve", help="serve a simulated camera")
    simple_network_args(serving, PORT)
    verbosity_args(serving)
    serving.set_defaults(run=serve)
    measuring = commands.add_parser("measure", help="find the spot in some images")
    measuring.add_argument("server", metavar="SERVER", help="host name or address of the camera")
    measuring.add_argument("port", metavar="PORT", nargs="?", type=int, default=PORT)
    measuring.add_argument(
        "--count", type=int, default=10, help="how many images (default: %(default)d)"
    )
    measuring.set_defaults(run=measure)
    return parser


def main() -> None:
    """Do what the command line says."""
    args = get_argparser().parse_args()
    try:
        args.run(args)
    except (OSError, EOFError) as exc:
        sys.exit(f"cannot use port {args.port}: {exc}")


if __name__ == "__main__":
    main()
