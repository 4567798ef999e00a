"""Identity providers: which issuers are trusted, their keys, and what their tokens mean.

``unverified`` takes a JWT apart, ``keys`` pins algorithms to keys, ``jwks`` keeps the keys
fresh, ``discovery`` is the only module that talks to an issuer, ``claims`` and ``cognito`` say
who a token stands for, ``oidc`` puts them together. A new provider type is one more strategy in
``oidc.OidcProvider``; nothing outside this package knows what a JWKS is.
"""
