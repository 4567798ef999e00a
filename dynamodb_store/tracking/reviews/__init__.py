"""Human review: label schemas, review queues with their items, issues."""
