"""From the DAGs in ``pipelines/`` to KFP IR, and the values of their parameters."""
