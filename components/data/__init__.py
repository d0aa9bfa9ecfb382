"""The data stage: raw tables of a use case, and the rows of them that keep their promises.

``ingest`` loads a window of a use case's source; ``validate`` moves every row that breaks usecase.yaml into quarantine,
with the reason, and refuses a batch that is too bad, stale or of an unlikely size.
"""
