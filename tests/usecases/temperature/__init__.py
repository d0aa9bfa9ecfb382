"""A small regression use case on real data: the temperature at a New York airport, three hours ahead."""
