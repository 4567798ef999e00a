"""MLflow's tracking store in one DynamoDB table; loaded by stock MLflow for ``dynamodb://`` URIs.

Read ``docs/store.md`` first (schema and access patterns), then ``documents.py``, then
``tracking/store.py``. Never imports ``gateway``.
"""
