"""The state machine of a release: its record, what is due next, and the controller that does it."""
