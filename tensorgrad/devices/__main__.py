"""``python -m tensorgrad.devices``: the device types there are, as a table."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tensorgrad import devices


def _table(rows: Sequence[devices.DeviceType]) -> list[str]:
    cells = [("DEVICE", "STATE", "DEVICES", "DISTRIBUTION")]
    for row in rows:
        count = "" if row.devices is None else str(row.devices)
        cells.append((row.name, row.state, count, ", ".join(row.distributions)))
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in cells]
    return lines + [f"\n{row.name}: {row.error}" for row in rows if row.error]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tensorgrad.devices", description="List the device types that tensorgrad knows."
    )
    parser.add_argument("--load", action="store_true", help="import the plugins, so that their errors show")
    options = parser.parse_args(arguments)
    print("\n".join(_table(devices.list(load=options.load))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
