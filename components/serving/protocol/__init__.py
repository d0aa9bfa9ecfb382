"""KServe's V1 and V2 inference protocols over HTTP and gRPC: requests, responses and errors."""
