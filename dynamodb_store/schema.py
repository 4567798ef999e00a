"""Names of attributes and the sizes that keep every item far below DynamoDB's 400 KB."""

from __future__ import annotations

PK, SK = "pk", "sk"
REVISION = "rev"
PAGES = "pages"
SECTIONS = "s"
DIGEST = "doc"

HEAD_BYTES = 64 * 1024
"""Entries beyond this leave a document's head: each write of the head costs its size."""
PAGE_BYTES = 64 * 1024
"""A page; a single longer entry (an experiment tag of 20,000 characters) has a page of its own."""
DIGEST_BYTES = 8 * 1024
"""Longer documents are only pointed to from lists, so that a page of a list holds many."""
PART_BYTES = 300 * 1024
"""Parts of a dataset's compressed schema, profile and source."""
TRANSACTION_BYTES = 3 * 1024 * 1024
"""Of values in one transaction, which takes 4 MB and 100 items."""
INLINE_DATASET_BYTES = 4 * 1024
"""A dataset up to this size is copied into the documents of the runs that use it."""
POINTS_PER_CHUNK = 4096
"""Times 24 bytes: about 100 KB."""
POINTS_PER_TAIL = 36
"""Points logged a few at a time gather in an item of up to this many: just below 1 KB, so that
adding one costs what an item of its own would, and a million points are 28 MB instead of 140."""
SLICE = 40
"""Entries of a document with pages that one transaction (100 items, 4 MB) may change."""
SPANS_INLINE_BYTES = 32 * 1024
"""Compressed spans up to this size are written in one transaction with their trace; a transaction
costs twice, so larger ones are written before it."""
SPAN_LIST_BYTES = 16 * 1024
"""Traces with more columns of spans (about 500 spans) are only pointed to from the span list."""
LONGEST_VALUE = 300 * 1024
"""One value of a document: it has to fit into an item."""
