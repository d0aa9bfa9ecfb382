"""The registry stage: model versions in MLflow, and which of them is the champion.

A version is registered once per content digest, complete or not at all. Who is champion is decided in an
append-only ledger of promotions and rollbacks (`ledger.py`); MLflow's aliases ``champion`` and ``previous`` follow it.
"""
