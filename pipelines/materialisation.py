"""The materialisation DAG: bring the online store up to a moment, and prove that it answers like the offline one."""

from kfp import dsl

from loopline.components.features.component import check_skew, materialise
from loopline.pipelines.nested.examples import history_of

batch_history = history_of("batch-history")


@dsl.pipeline(name="materialisation")
def materialisation(usecase: str, start: str, end: str, store: str) -> None:
    """Materialise feature views into the online store.

    Args:
        usecase: package of the use case.
        start: first moment of the window whose raw data is read.
        end: the moment up to which features are materialised, excluded.
        store: the feature store (registry and online store).
    """
    batch = batch_history(usecase=usecase, start=start, end=end).outputs
    done = materialise(usecase=usecase, end=end, store=store, history=batch["history"])
    check_skew(
        usecase=usecase,
        end=end,
        store=store,
        data=batch["data"],
        history=batch["history"],
        receipt=done.outputs["receipt"],
    )
