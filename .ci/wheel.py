"""Checks a wheel: its tags, its size, what it holds, and its version."""

import re
import sys
import zipfile
from pathlib import Path

MOST_BYTES = 15_000_000

path = Path(sys.argv[1])
workspace = Path(__file__).parents[1] / "Cargo.toml"
version = re.search(r'^version = "(.*)"$', workspace.read_text(), re.MULTILINE)[1]
name, found, python, abi, platform = path.stem.split("-")
assert (name, found) == ("circuitcheck", version), path.name
assert (python, abi) == ("cp310", "abi3"), f"{path.name}: not for Python 3.10 and later"
assert re.match(r"manylinux|musllinux|linux|macosx|win", platform), path.name
size = path.stat().st_size
assert size < MOST_BYTES, f"{path.name}: {size} bytes, more than {MOST_BYTES}"
with zipfile.ZipFile(path) as wheel:
    files = wheel.namelist()
    points = wheel.read(f"circuitcheck-{version}.dist-info/entry_points.txt").decode()
assert "circuitcheck=circuitcheck.__main__:main" in points.replace(" ", ""), points
for wanted in ["circuitcheck/py.typed", "circuitcheck/_native.pyi", "circuitcheck/_native.abi3.so"]:
    assert wanted in files or sys.platform == "win32", f"{wanted} is not among {files}"
print(f"{path.name}: {size / 1e6:.1f} MB, {len(files)} files")
