"""compressai imports whatever torchvision there is."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
BROKEN = "raise RuntimeError('operator torchvision::nms does not exist')\n"


def run(code: str, *folders: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(map(str, (*folders, ROOT)))
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_import_survives_a_torchvision_that_fails(tmp_path):
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(BROKEN)
    code = (
        "import sys; from icmhcodec._compat import import_compressai\n"
        "from icmhcodec.entropy import coder; coder._extension()\n"
        "package = import_compressai()\n"
        "from compressai.models import MeanScaleHyperprior\n"
        "assert package is import_compressai()\n"
        "assert 'torchvision' not in sys.modules\n"
        "print(MeanScaleHyperprior(8, 12).M)\n"
    )
    done = run(code, tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, "12"), done.stderr


def test_a_missing_compressai_is_an_import_error(tmp_path):
    code = (
        "import sys; sys.modules['compressai'] = None\n"
        "from icmhcodec._compat import import_compressai\n"
        "try: import_compressai()\n"
        "except ImportError as error: print(error.name)\n"
    )
    done = run(code, tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, "compressai"), done.stderr
