"""The contract: what holds for every network, subset and fill, on the backend of the process."""
