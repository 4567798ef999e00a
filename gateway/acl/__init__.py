"""Who holds which role on what: the store port, its adapters and the cache in front of them."""
