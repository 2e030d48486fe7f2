"""The labeler starts without torch, which spaCy would import for nothing, and torch works after."""

from __future__ import annotations

import subprocess
import sys


def test_torch_is_not_imported_and_can_be() -> None:
    code = (
        "import sys; from cxrtool.reports import label; "
        "assert label('Edema.')['Edema'] == 1; assert 'torch' not in sys.modules; "
        "import torch; assert float(torch.ones(2).sum()) == 2"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
