"""What others would build in place of our transformer: with the same lookups, and what surrounds them stock."""
