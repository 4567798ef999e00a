"""The AI gateway's records: secrets, model definitions, endpoints, budgets, guardrails."""
