"""Compiles the DAGs in ``pipelines/`` to KFP IR, with values for their parameters."""
