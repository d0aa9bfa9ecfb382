"""The result of a retrieval from the offline store, computed on demand."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import FileSource, OnDemandFeatureView
from feast.data_format import ParquetFormat
from feast.data_source import DataSource
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.saved_dataset import SavedDatasetStorage

from loopline.components.errors import LooplineError
from loopline.components.io import atomic


class AsofRetrievalJob(RetrievalJob):  # type: ignore[misc]
    """A retrieval that runs when its result is read."""

    def __init__(
        self,
        evaluate: Callable[[], pa.Table],
        repository: Path,
        full_feature_names: bool = False,
        on_demand: Sequence[OnDemandFeatureView] = (),
        metadata: RetrievalMetadata | None = None,
    ) -> None:
        self._evaluate = evaluate
        self._repository = repository
        self._full_feature_names = full_feature_names
        self._on_demand = list(on_demand)
        self._metadata = metadata

    @property
    def full_feature_names(self) -> bool:
        """Whether features are named ``view__feature``."""
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """Views that Feast computes on top of the result."""
        return self._on_demand

    @property
    def metadata(self) -> RetrievalMetadata | None:
        """The features, the keys, and the range of timestamps."""
        return self._metadata

    def persist(self, storage: SavedDatasetStorage, allow_overwrite: bool = False, timeout: int | None = None) -> None:  # noqa: ARG002
        """Write the result as one Parquet file.

        Raises:
            SavedDatasetLocationAlreadyExists: something is there, and may not be replaced.
        """
        path = parquet_path(storage.to_data_source(), self._repository)
        if path.exists() and not allow_overwrite:
            raise SavedDatasetLocationAlreadyExists(location=str(path))
        with atomic.new_file(path) as partial:
            pq.write_table(self.to_arrow(), partial)

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:  # noqa: ARG002
        return self._evaluate()

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:  # noqa: ARG002
        frame: pd.DataFrame = self._evaluate().to_pandas()
        return frame


def parquet_path(source: DataSource, repository: Path) -> Path:
    """The Parquet file of a data source; a relative path starts at the repository.

    Raises:
        LooplineError: the source is not a Parquet file.
    """
    if not isinstance(source, FileSource) or not isinstance(source.file_format, ParquetFormat | None):
        raise LooplineError(f"data source {source.name} is no Parquet file, the only kind that this store reads")
    return Path(repository, source.path)
