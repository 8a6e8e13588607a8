"""Background imports: used modules are complete, and the process ends cleanly during one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cgt.runtime.utils.preload import import_in_background


def test_errors_show_when_a_module_is_used() -> None:
    import_in_background("no_such_module_of_cgt", "colorsys")
    import colorsys

    assert colorsys.rgb_to_hsv(1, 0, 0) == (0, 1, 1)


def test_a_program_that_ends_at_once_waits_for_the_import(tmp_path: Path) -> None:
    """An import while the interpreter is torn down crashes."""
    (tmp_path / "slow_module.py").write_text("import time; time.sleep(0.3); print('imported')")
    code = (
        "from cgt.runtime.utils.preload import import_in_background\n"
        "import_in_background('slow_module'); raise SystemExit(3)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert (done.returncode, done.stdout) == (3, "imported\n")
