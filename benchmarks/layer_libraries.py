"""The modules of flax.linen and equinox.nn, compared with the layers of the same formula, in four dtypes.

    python -m benchmarks.layer_libraries [--libraries flax,equinox] [--layers dense,gru]

Needs the libraries: ``pip install flax equinox``. Every hidden condition is tried. Prints each verdict that is not
``agree``, and the number of each; the exit code is 1 if a verdict fails.
"""

from __future__ import annotations

import argparse
import collections
import sys
import warnings

from gradagree.adapters.layer_libraries import EQUINOX, FLAX, is_found
from gradagree.functions.layers import layer_report
from gradagree.reference import layers as layers  # registers the layers
from gradagree.reference.layer import Layer

KNOWN = {"flax": FLAX, "equinox": EQUINOX}


def main() -> None:
    parser = argparse.ArgumentParser(description="Modules of flax and equinox beside the layers of the same formula.")
    parser.add_argument("--libraries", default="flax,equinox")
    parser.add_argument("--layers", help="names, separated by commas; all by default")
    options = parser.parse_args()
    chosen = options.libraries.split(",")
    for library in chosen:
        if library not in KNOWN:
            parser.error(f"--libraries {library}: give {' or '.join(KNOWN)}")
        if not is_found(library):
            parser.error(f"{library} is not installed: pip install {library}")
        for name in options.layers.split(",") if options.layers else ():
            if name not in KNOWN[library]:
                parser.error(f"--layers {name}: {library} has {', '.join(KNOWN[library])}")
    warnings.simplefilter("ignore")
    failing = False
    for library in chosen:
        counts: collections.Counter[str] = collections.Counter()
        names = options.layers.split(",") if options.layers else [*KNOWN[library]]
        variants = [v for name in names for v in Layer.named(name).variants() if KNOWN[library][name].allows(v)]
        for layer in variants:
            report = layer_report(layer, library)
            counts.update(record.verdict.value for record in report.records)
            for record in report.records:
                if record.verdict.value != "agree":
                    what = record.condition or record.mode
                    print(library, layer, record.dtype, record.name, what, record.verdict.value, record.reason)
            failing |= report.verdict.fails
        print(f"{library}: {len(variants)} variants, {dict(counts)}", flush=True)
    sys.exit(failing)


if __name__ == "__main__":
    main()
