"""Tables as data frames, through Arrow."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas
    import polars

    from ._native import Table


def to_pandas(table: Table) -> pandas.DataFrame:
    """The table as a DataFrame of pandas; through pyarrow where that is installed."""
    import pandas

    try:
        import pyarrow
    except ImportError:
        return pandas.DataFrame(table.to_dict())
    return pyarrow.table(table).to_pandas()


def to_polars(table: Table) -> polars.DataFrame:
    """The table as a DataFrame of polars."""
    import polars

    return polars.DataFrame(table)


def frame(table: Table) -> Any:
    """The table as a DataFrame of pandas or, where that is not installed, of polars.

    Raises ImportError where neither is installed.
    """
    for make in (to_pandas, to_polars):
        try:
            return make(table)
        except ImportError:
            continue
    raise ImportError("neither pandas nor polars is installed; one of them holds tables")


def to_parquet(table: Table, path: str | os.PathLike[str]) -> None:
    """Writes the table as a Parquet file."""
    with open(path, "wb") as file:
        file.write(table.to_parquet())
