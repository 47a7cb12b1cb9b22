"""Create the project's virtual environment; a torch that is installed already is used in it.

    python3 requirements/environment.py .venv

Torch is by far the largest thing that netviz needs. Where the Python that runs this script can import
one, the folder that holds it joins the environment's path, behind the environment's own packages. Then
pip takes that torch where it satisfies setup.py, and installs another where it does not.
"""

from __future__ import annotations

import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent


def main(target: Path) -> None:
    """Create the environment in `target` and write the constraints for pip into it."""
    if sys.version_info < (3, 11):
        sys.exit(f"netviz needs Python 3.11 or newer; this is {sys.version.split()[0]}. Try: make PYTHON=python3.12")
    constraints = (HERE / "constraints.txt").read_text(encoding="utf-8")
    packages = _create(target)
    folder = _torch_folder()
    if folder is not None:
        print(f"Using the torch in {folder}")
        (packages / "reused_torch.pth").write_text(f"{folder}\n", encoding="utf-8")
        constraints = "".join(line for line in constraints.splitlines(True) if not line.startswith("torch=="))
    (target / "constraints.txt").write_text(constraints, encoding="utf-8")


def _create(target: Path) -> Path:
    """Create the environment where there is none yet, and return its folder of packages."""
    try:
        import ensurepip  # noqa: F401  (Debian ships it apart from Python.)
    except ImportError:
        sys.exit("This Python can't create virtual environments. On Debian and Ubuntu: apt install python3-venv")
    builder = venv.EnvBuilder(with_pip=True, symlinks=sys.platform != "win32")
    if not (target / "pyvenv.cfg").exists():
        builder.create(target)
    return target / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


def _torch_folder() -> Path | None:
    """Return the folder from which `import torch` works, or None."""
    try:
        import torch
    except Exception:  # A broken installation raises anything; it is as good as none.
        return None
    return Path(torch.__file__).parent.parent


if __name__ == "__main__":
    main(Path(sys.argv[1]))
