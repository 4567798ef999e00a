"""The tracking store: one mixin for each concept, composed in store.py."""
