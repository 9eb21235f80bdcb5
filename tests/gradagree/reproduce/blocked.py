"""Runs scripts where gradagree cannot be imported, and prints for each what it ended with and what it said, as JSON.

python -I blocked.py SCRIPT...
"""

import contextlib
import io
import json
import runpy
import sys


class Blocked:
    """Finds no gradagree anywhere."""

    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("gradagree", "reference", "adapters"):
            raise ModuleNotFoundError(f"{name} is blocked")


sys.meta_path.insert(0, Blocked())
for script in sys.argv[1:]:
    said, code = io.StringIO(), None
    with contextlib.redirect_stdout(said):
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as ended:
            code = ended.code
        except Exception as wrong:  # noqa: BLE001
            code = f"{type(wrong).__name__}: {wrong}"
    sys.stdout.write(json.dumps([code, said.getvalue()]) + "\n")
