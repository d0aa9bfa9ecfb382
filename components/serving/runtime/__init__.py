"""The transformer at run time: from a request that arrives to the response, with its limits."""
