"""The adapter of Authorize.net: its JSON API, Accept.js tokens, and a look-up instead of a key."""

from app.gateways.authorizenet.adapter import AUTHORIZENET

__all__ = ["AUTHORIZENET"]
