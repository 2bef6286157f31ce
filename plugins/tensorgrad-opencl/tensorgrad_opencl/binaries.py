"""Compiled programs on disk.

``TENSORGRAD_OPENCL_CACHE`` names another directory than ``~/.cache/tensorgrad-opencl``; empty, it switches the cache
off.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def directory() -> Path | None:
    """Where binaries lie."""
    chosen = os.environ.get("TENSORGRAD_OPENCL_CACHE")
    if chosen is not None:
        return Path(chosen) if chosen else None
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tensorgrad-opencl"


class BinaryCache:
    """The binaries for one device, by what they are made of: source, options, device and driver.

    A cache never gets in the way: a directory that cannot be written to, or a file that was cut off, means compiling.
    """

    def __init__(self, device: Any, options: Sequence[str]) -> None:
        self.directory = directory()
        parts = [device.platform.name, device.platform.version, device.name, device.version, device.driver_version]
        self.made_for = "\n".join([*parts, *options])

    def place(self, text: str) -> Path | None:
        """The file for a source."""
        if self.directory is None:
            return None
        key = hashlib.sha256(f"{self.made_for}\n{text}".encode()).hexdigest()
        return self.directory / key[:2] / key[2:]

    def load(self, place: Path | None) -> bytes | None:
        try:
            return None if place is None else zlib.decompress(place.read_bytes())
        except (OSError, zlib.error):
            return None

    def save(self, place: Path, binary: bytes) -> None:
        """Write a file at once or not at all, since other processes look for it."""
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=place.parent, delete=False) as file:
                file.write(zlib.compress(binary, 1))
            os.replace(file.name, place)
        except OSError:
            return

    def forget(self, place: Path | None) -> None:
        if place is not None:
            place.unlink(missing_ok=True)
