"""The use cases that ship with Loopline; one of yours may live in any importable package."""
