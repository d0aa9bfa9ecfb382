"""Tests on real Spark, local[2]."""
