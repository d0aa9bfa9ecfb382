"""The registry stage: model versions in MLflow, and which of them is the champion.

A version is registered once per content digest, completely or not at all. Who is champion is decided in an append-only
promotion log (`promotion_log.py`); MLflow's aliases ``champion`` and ``previous`` follow it.
"""
