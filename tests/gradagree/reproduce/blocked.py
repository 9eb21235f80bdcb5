"""Runs scripts where gradagree cannot be imported; prints the exit code and the output of each as JSON.

python -I blocked.py SCRIPT...
"""

import contextlib
import io
import json
import runpy
import sys


class Blocked:
    """Raises ModuleNotFoundError for gradagree and its packages."""

    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("gradagree", "reference", "adapters"):
            raise ModuleNotFoundError(f"{name} is blocked")


sys.meta_path.insert(0, Blocked())
for script in sys.argv[1:]:
    output, code = io.StringIO(), None
    with contextlib.redirect_stdout(output):
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as ended:
            code = ended.code
        except Exception as wrong:  # noqa: BLE001
            code = f"{type(wrong).__name__}: {wrong}"
    sys.stdout.write(json.dumps([code, output.getvalue()]) + "\n")
