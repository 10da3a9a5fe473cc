"""The contract: what holds for every network, selector and fill, on the backend of the process."""
