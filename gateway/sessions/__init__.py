"""Browser sessions: sealed cookies, sign-in attempts, and the sessions themselves."""
