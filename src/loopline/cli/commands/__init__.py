"""The arguments of each command. What a command does is imported when it is called, so that ``--help`` is fast."""
