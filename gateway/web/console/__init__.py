"""The console below ``/access/``: pages for people over the same functions as the JSON API."""
