"""Where commands print for people."""

import sys

from rich.console import Console

# kfp prints to sys.stdout while it runs, and that is redirected; what people see goes to the real one.
console = Console(file=sys.stdout)
