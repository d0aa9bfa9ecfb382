"""The end of a loop: a challenger is released under replayed traffic, then a degraded model, which is rolled back."""
