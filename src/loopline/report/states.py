"""The states of runs and steps as symbols: they carry the meaning where there is no colour."""

SYMBOLS = {
    "succeeded": "✓",
    "cached": "↻",
    "running": "▶",
    "failed": "✕",
    "killed": "✕",
    "skipped": "–",
    "waiting": "·",
}
