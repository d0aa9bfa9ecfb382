"""The data stage's steps as KFP components."""

from kfp import dsl

from loopline.components.contract.step import StepFacts


@StepFacts(effects="none", reads_source=True, calls_service=True)
@dsl.component(base_image="loopline-data", install_kfp_package=False)
def ingest(usecase: str, start: str, end: str, raw: dsl.Output[dsl.Dataset]) -> None:
    """Load the raw tables of a window, and of the lookback before it.

    Args:
        usecase: package of the use case, such as loopline.usecases.flights.
        start: first moment of the window; without a zone, in the use case's timezone.
        end: end of the window, excluded.
        raw: the tables as the source returns them, in the types of usecase.yaml.
    """
    from loopline.components.data.ingest import ingest

    dataset = ingest(usecase, start, end, raw.path)
    raw.metadata.update(digest=dataset.digest, rows=dataset.facts["rows"])


@StepFacts(effects="none", shows={"data": "data", "quarantine": "quarantine"})
@dsl.component(base_image="loopline-data", install_kfp_package=False)
def validate_data(
    usecase: str,
    raw: dsl.Input[dsl.Dataset],
    data: dsl.Output[dsl.Dataset],
    quarantine: dsl.Output[dsl.Dataset],
    profile: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Keep the rows that match usecase.yaml; fail if too many do not, or the batch is stale or of an unexpected size.

    Args:
        usecase: package of the use case, such as loopline.usecases.flights.
        raw: the tables as ingested.
        data: the good rows.
        quarantine: the bad rows, each with its reasons. Written also if the step fails.
        profile: a page that describes every column. Written also if the step fails.
        metrics: rows and share of quarantined rows of each table.
    """
    from loopline.components.data.upload_on_failure import upload_on_failure
    from loopline.components.data.validate import validate_data

    with upload_on_failure(quarantine, profile):
        validated = validate_data(usecase, raw.path, data.path, quarantine.path, profile.path)
    for artifact, dataset in ((data, validated.data), (quarantine, validated.quarantine)):
        artifact.metadata.update(digest=dataset.digest, rows=dataset.facts["rows"])
    for name, value in validated.metrics().items():
        metrics.log_metric(name, value)
