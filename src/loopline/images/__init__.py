"""Container images: which there are, how they are built, pushed and pinned, and what is inside them."""
