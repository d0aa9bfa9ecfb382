"""The features stage's steps as KFP components."""

from kfp import dsl

from loopline.components.contract.step import StepFacts


@StepFacts(effects="none")
@dsl.component(base_image="loopline-features", install_kfp_package=False)
def build_features(usecase: str, data: dsl.Input[dsl.Dataset], history: dsl.Output[dsl.Dataset]) -> None:
    """Compute the history of every stored feature view with the SQL of features.py.

    Args:
        usecase: package of the use case, such as loopline.usecases.flights.
        data: the validated tables.
        history: one table per feature view: join keys, event timestamp, features.
    """
    from loopline.components.features.build import build_features

    dataset = build_features(usecase, data.path, history.path)
    history.metadata.update(digest=dataset.digest, rows={name: dataset.rows(name) for name in dataset.tables})


@StepFacts(effects="none", shows={"examples": "examples"})
@dsl.component(base_image="loopline-features", install_kfp_package=False)
def join_features(
    usecase: str,
    start: str,
    end: str,
    data: dsl.Input[dsl.Dataset],
    history: dsl.Input[dsl.Dataset],
    examples: dsl.Output[dsl.Dataset],
) -> None:
    """Give every entity row of a window its features as they were known at the time of the prediction.

    Args:
        usecase: package of the use case, such as loopline.usecases.flights.
        start: first moment of the window; without a zone, in the use case's timezone.
        end: end of the window, excluded.
        data: the validated tables.
        history: the history of the feature views.
        examples: one row per entity: its columns, the time of the prediction, the label, the stored features.
    """
    from loopline.components.features.join import join_features

    dataset = join_features(usecase, start, end, data.path, history.path, examples.path)
    examples.metadata.update(digest=dataset.digest, rows=dataset.facts["rows"], labelled=dataset.facts["labelled"])


@StepFacts(effects="locations", locations=("store",), calls_service=True)
@dsl.component(base_image="loopline-features", install_kfp_package=False)
def materialise(
    usecase: str, end: str, store: str, history: dsl.Input[dsl.Dataset], receipt: dsl.Output[dsl.Artifact]
) -> None:
    """Update the online store to a point in time: only what is new, never beyond it, never back.

    Args:
        usecase: package of the use case, such as loopline.usecases.flights.
        end: the point in time; what became known at it is included.
        store: folder of the Feast repository: definitions, registry, online store.
        history: the history of the feature views.
        receipt: what was written, by view.
    """
    from loopline.components.features.materialise import materialise
    from loopline.components.io.digest import of_value

    written = materialise(usecase, end, store, history.path, receipt.path)
    receipt.metadata.update(
        digest=of_value(written), rows={name: view["rows"] for name, view in written["views"].items()}
    )


@StepFacts(effects="none", locations=("store",), shows={"report": "skew"})
@dsl.component(base_image="loopline-features", install_kfp_package=False)
def check_skew(
    usecase: str,
    end: str,
    store: str,
    data: dsl.Input[dsl.Dataset],
    history: dsl.Input[dsl.Dataset],
    receipt: dsl.Input[dsl.Artifact],
    report: dsl.Output[dsl.Markdown],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Fail unless the online and the offline store hold the same values for the same time.

    Args:
        usecase: package of the use case, such as loopline.usecases.flights.
        end: the point in time that was materialised.
        store: folder of the Feast repository.
        data: the validated tables, whose keys are compared.
        history: the history that was materialised.
        receipt: what was written.
        report: counts by view.
        metrics: the same counts, summed.
    """
    from loopline.components.features.skew import check_skew

    results = check_skew(usecase, end, store, data.path, history.path, report.path)
    report.metadata["receipt"] = receipt.metadata.get("digest", "")
    for name in ("keys", "values", "expired", "unknown", "ahead"):
        metrics.log_metric(name, sum(getattr(result, name) for result in results))
