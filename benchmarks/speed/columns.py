"""What the page asks of a catalogue of a million rows: columns, facets, tables, a picture.

    python benchmarks/speed/columns.py [--rows 1000000] [--repeat 5]

The catalogue is that of `cone.py`. Thirteen columns as one Arrow stream is the target (1 s), from
a freshly opened archive (its columns are read, shuffled and encoded) and again from the same one.
The rest is what the first screen asks: everything's facets and sky, a filter, a sorted page, names
that hold a text, a picture of 300,000 points. Writes results/columns.json.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cone import fill
from support.record import machine, write

from spectrarium.plot.map import Colour
from spectrarium.plot.scatter import Axis, scatter_png
from spectrarium.run.asked import Conditions
from spectrarium.run.columns import Columns
from spectrarium.run.facets import facets, sky
from spectrarium.run.finding import find
from spectrarium.serve.answers import arrow_bytes
from spectrarium.store.archive import Archive

NAMES = ("s_ra", "s_dec", "snr", "redshift", "t_min", "t_exptime", "em_min", "em_max",
         "em_res_power", "n_good", "class", "obs_collection", "instrument_name")  # fmt: skip
TARGET_S = 1.0
POINTS = 300_000


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """(seconds, what came back)."""
    began = time.perf_counter()
    answer = work()
    return time.perf_counter() - began, answer


def send(columns: Columns) -> int:
    """Bytes of the thirteen columns as they go over the wire."""
    return len(arrow_bytes(columns.table(NAMES)))


def question(columns: Columns) -> dict[str, Callable[[], Any]]:
    """The other things that a screen asks, each with a text that was not asked before: what was
    found is kept."""
    rows = columns.order
    few = rows[:POINTS]

    def picture() -> bytes:
        x, y = (Axis(columns.numbers(n)[few], n) for n in ("s_ra", "s_dec"))
        return scatter_png(x, y, Colour("snr", columns.numbers("snr")[few]))

    return {
        "facets of everything": lambda: facets(columns, columns.rows),
        "sky cells of everything": lambda: sky(columns, columns.rows),
        "filter snr > 60": lambda: columns.archive.find(where="snr > 60"),
        "sorted page of 50": lambda: find(columns, Conditions(), sort=f"-snr{' ' * next(_tick)}"),
        "name that holds 99999": lambda: find(columns, Conditions(q=f"99999{' ' * next(_tick)}")),
        f"picture of {POINTS} points": picture,
    }


_tick = iter(range(10**6))


def main() -> None:
    """Run, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--keep", action="store_true", help="write the result")
    args = parser.parse_args()
    where = machine(("pyarrow",))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "archive"
        fill(root, args.rows)
        first, again, size = [], [], 0
        for _ in range(args.repeat):
            columns = Columns(Archive(root))
            seconds, size = timed(lambda c=columns: send(c))
            first.append(seconds)
            again.append(timed(lambda c=columns: send(c))[0])
        others: dict[str, Any] = {}
        for name, work in question(columns).items():
            cold = timed(work)[0]
            others[name] = {"first_s": cold, "s": statistics.median(
                timed(work)[0] for _ in range(args.repeat))}  # fmt: skip
    result = {
        "rows": args.rows, "columns": len(NAMES), "bytes": size, "target_s": TARGET_S,
        "first_s": statistics.median(first), "again_s": statistics.median(again),
        "statistic": f"median of {args.repeat}", "others": others, "machine": where,
    }  # fmt: skip
    print(f"{len(NAMES)} columns × {args.rows} rows, {size / 1e6:.0f} MB of Arrow: first "
          f"{result['first_s']:.2f} s, again {result['again_s']:.2f} s "
          f"  target {TARGET_S:g}")  # fmt: skip
    for name, one in others.items():
        print(f"{name:32}{one['s']:8.3f} s   first {one['first_s']:.3f}")
    if args.keep:
        write("columns", result)


if __name__ == "__main__":
    main()
