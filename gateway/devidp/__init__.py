"""The development identity provider of ``mlgate up``: sample accounts on this machine only.

A real OpenID Connect issuer in miniature, so that the gateway has no special path for it: it
trusts this issuer by an ordinary ``type: oidc`` provider (``app.provider_settings``). Never for
production: it keeps readable passwords so that ``mlgate up`` can print them.
"""

from gateway.devidp.accounts import Account, Accounts, Client
from gateway.devidp.app import create_app, provider_settings, serve

__all__ = ["Account", "Accounts", "Client", "create_app", "provider_settings", "serve"]
