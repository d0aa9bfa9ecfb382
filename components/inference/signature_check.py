"""Check the signature of a model against the examples, before the first row is scored."""

from loopline.components.contract.dataset import Dataset
from loopline.components.contract.examples import FEATURE_TIME, TABLE, features_of, identity_columns
from loopline.components.contract.signature import Signature
from loopline.components.contract.spec import UseCaseSpec
from loopline.components.errors import LooplineError
from loopline.components.inference.scoring import scored_columns


def check_signature(signature: Signature, examples: Dataset, spec: UseCaseSpec) -> None:
    """Check that a model can score these examples, which may have more features than it takes.

    Raises:
        LooplineError: the dataset holds no examples, the task differs, a feature is missing or of another kind, or an
            identity column is missing or has the name of a column of the predictions.
    """
    if TABLE not in examples.tables or "features" not in examples.facts:
        raise LooplineError(f"{examples.path} holds no examples but {', '.join(examples.tables)}")
    expected = Signature.for_task(spec.task, ()).output
    if signature.output != expected:
        raise LooplineError(
            f"the model gives a {signature.output} but {spec.name} is a {spec.task}, which takes a {expected}: "
            "fetch a model that was trained for this use case"
        )
    kinds = {feature.name: feature.kind for feature in features_of(examples.facts)}
    misfits = [f"{f.name} ({f.kind})" for f in signature.inputs if kinds.get(f.name) != f.kind]
    if misfits:
        raise LooplineError(
            f"the model does not fit the examples in {examples.path}: it takes {', '.join(misfits)}, which they lack "
            "or have as another kind; train a model on the features that usecase.yaml names now"
        )
    identity = identity_columns(spec)
    lacking = [name for name in [*identity, FEATURE_TIME] if name not in examples.tables[TABLE]["columns"]]
    if lacking:
        raise LooplineError(f"the examples in {examples.path} lack the column {', '.join(lacking)}; join them again")
    taken = sorted(set(identity) & set(scored_columns((), signature.output)))
    if taken:
        raise LooplineError(
            f"entity.keys or entity.timestamp of {spec.name} is called {', '.join(taken)}, which is the name of a "
            "column of the predictions; rename it in source.py and usecase.yaml"
        )
