"""The last acts of a loop: a challenger is released under replayed traffic, and a deliberately bad one is caught."""
