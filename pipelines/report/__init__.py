"""What a person sees at the end of a loop: the page, the summary beside it, and the tables in the terminal."""
