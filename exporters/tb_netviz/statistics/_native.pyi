from typing_extensions import Buffer

def gradients(jobs: Buffer, results: Buffer, /) -> None: ...
def weights(jobs: Buffer, results: Buffer, /) -> None: ...
def bins(jobs: Buffer, results: Buffer, /) -> None: ...
def units(
    address: int,
    shape: tuple[int, int, int],
    steps: tuple[int, int, int],
    looks: tuple[int, int],
    by_row: bool,
    flat: tuple[float, float],
    sums: Buffer,
    /,
) -> None: ...
def squares(
    address: int,
    shape: tuple[int, int, int],
    steps: tuple[int, int, int],
    looks: tuple[int, int],
    sums: Buffer,
    /,
) -> None: ...
def copies(jobs: Buffer, /) -> None: ...
