"""Write vectors/intensity.json from the reference in integers: ``python -m tests.intensity.make_vectors``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.intensity import reference

CONTEXT: dict[str, Any] = {
    "chain_id": 4_410_948,
    "contract": "0x" + "cd" * 18 + "0cd5",
    "beacon": "0x" + bytes(range(32)).hex(),
    "provider": "0x" + "5e" * 20,
    "device": 7,
}
PROFILES = {
    "small": {"code": 255, "m": 64, "n": 96, "k": 160},
    "C1": {"code": 1, "m": 2048, "n": 2048, "k": 2048},
    "G1": {"code": 2, "m": 8192, "n": 8192, "k": 65536},
}
UNITS = 11
LATER = bytes(range(32, 64))


def text(data: bytes) -> str:
    """Hex with its prefix."""
    return "0x" + data.hex()


def _lines(name: str) -> list[dict[str, Any]]:
    sizes = PROFILES[name]
    seed = reference.sha(reference.context(CONTEXT, sizes["code"]), reference.little(0, 4))
    made = []
    for side, index in (("A", 0), ("B", 0), ("A", 8 * sizes["m"] - 1), ("B", 12345)):
        entries = reference.line(seed, side.encode(), index, 160)
        made.append({"profile": name, "seed": text(seed), "side": side, "index": index, "entries": entries})
    return made


def _tiles(name: str, places: list[tuple[int, int, int]]) -> list[dict[str, Any]]:
    sizes, made = PROFILES[name], []
    for grid, row, column in places:
        seed = reference.sha(reference.context(CONTEXT, sizes["code"]), reference.little(grid, 4))
        data = reference.tile_bytes(reference.tile(seed, row, column, sizes["k"]))
        digest = reference.leaf(row, column, data)
        made.append(
            {
                "profile": name,
                "grid": grid,
                "row": row,
                "column": column,
                "first": text(data[:64]),
                "leaf": text(digest),
            }
        )
    return made


def _window() -> dict[str, Any]:
    sizes = PROFILES["small"]
    about = reference.context(CONTEXT, sizes["code"])
    seed = reference.sha(about, reference.little(0, 4))
    down, across, units = sizes["m"] // 32, sizes["n"] // 32, []
    for unit in range(UNITS):
        places = [(unit // 8 * down + i, unit % 8 * across + j) for i in range(down) for j in range(across)]
        leaves = [
            reference.leaf(row, column, reference.tile_bytes(reference.tile(seed, row, column, sizes["k"])))
            for row, column in places
        ]
        units.append(reference.root(leaves))
    root = reference.root(units)
    return {
        "profile": "small",
        "units": UNITS,
        "unit_roots": [text(unit) for unit in units],
        "root": text(root),
        "later_beacon": text(LATER),
        "draws": reference.draws(about, root, UNITS, down * across, LATER),
    }


def main() -> None:
    """Write the file."""
    document = {
        "context": CONTEXT,
        "profiles": PROFILES,
        "lines": [each for name in PROFILES for each in _lines(name)],
        "tiles": _tiles("small", [(0, 0, 0), (1, 15, 23)]) + _tiles("C1", [(0, 0, 1), (3, 511, 300)]),
        "window": _window(),
    }
    path = Path(__file__).parents[2] / "vectors" / "intensity.json"
    path.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
