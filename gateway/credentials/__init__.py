"""The ways to say who calls, one file each, tried in a fixed order by ``chain.Identify``.

Every authenticator follows one rule: None means "not mine", an exception means "mine, but bad".
A bad credential is never overruled by a good one beside it.
"""
