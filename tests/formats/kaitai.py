"""Compile formats/icm.ksy to Python: `python -m tests.formats.kaitai` writes icm_kaitai.py anew.

Kaitai Struct's compiler is fetched from npm once, at one version with a known hash; it needs node.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent.parent
SOURCE = ROOT / "formats" / "icm.ksy"
PARSER = Path(__file__).parent / "icm_kaitai.py"
CACHE = ROOT / "build" / "kaitai"

PACKAGE = "kaitai-struct-compiler"
VERSION = "0.11.0"
SHA512 = "GJYIS7w8y6oh91GcDwUXMbbOhKzTQqMx4CXVw8iY12xJgCEEvYaoobgxMvi8XTzV/8uDSPYk5GP+Z/KfPuiEsA=="

# Read by ruff: what is generated is neither linted nor formatted.
PRAGMAS = "# ruff: noqa\n# fmt: off\n"
COMPILE = """
const compiler = require(process.argv[1]);
const source = JSON.parse(require("fs").readFileSync(0, "utf8"));
compiler.compile("python", source, null, false).then(
  (files) => process.stdout.write(files["icm.py"]),
  (error) => { console.error(String(error)); process.exitCode = 1; },
);
"""


class UnavailableError(Exception):
    """Node or the compiler's package is not to be had."""


def specification() -> dict[str, object]:
    """formats/icm.ksy as plain data."""
    found: dict[str, object] = yaml.safe_load(SOURCE.read_text())
    return found


def compiled() -> str:
    """The Python parser of formats/icm.ksy; UnavailableError where there is no compiler."""
    command = ["node", "-e", COMPILE, str(compiler())]
    run = subprocess.run(
        command, input=json.dumps(specification()), capture_output=True, text=True, timeout=120
    )
    assert not run.returncode, run.stderr
    return PRAGMAS + run.stdout.rstrip() + "\n"


def compiler() -> Path:
    """The compiler's file, fetched where it is not here yet."""
    path = CACHE / f"{PACKAGE}-{VERSION}.js"
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise UnavailableError("there is no node, or no npm")
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            _fetch(Path(folder)).replace(path)
    return path


def _fetch(folder: Path) -> Path:
    command = ["npm", "pack", "--silent", f"{PACKAGE}@{VERSION}"]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=90)
        archive = next(folder.glob("*.tgz"))
    except (OSError, subprocess.SubprocessError, StopIteration) as error:
        raise UnavailableError(f"{PACKAGE} cannot be fetched from npm") from error
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    assert found == SHA512, f"{PACKAGE}: another hash than expected"
    with tarfile.open(archive) as package:
        content = package.extractfile(f"package/{PACKAGE}.js")
        assert content is not None
        path = folder / "compiler.js"
        path.write_bytes(content.read())
    return path


if __name__ == "__main__":
    try:
        PARSER.write_text(compiled())
    except UnavailableError as error:
        sys.exit(str(error))
