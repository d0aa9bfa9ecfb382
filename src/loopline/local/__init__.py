"""Running a compiled pipeline on one machine: kfp.local, with warm processes, a content cache and run records."""
