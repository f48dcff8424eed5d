"""Razorpay: orders, recurring payments on tokens, and mandates, over its API v1."""

from typing import Final

from app.gateways.base import AccountSettings, CredentialField
from app.gateways.capabilities import Capabilities
from app.gateways.razorpay.account import CAPABILITIES, FIELDS
from app.gateways.razorpay.gateway import RazorpayGateway


class RazorpayFactory:
    """Opens accounts at Razorpay."""

    name: str = RazorpayGateway.name
    capabilities: Capabilities = CAPABILITIES
    fields: tuple[CredentialField, ...] = FIELDS

    def __call__(self, account: AccountSettings) -> RazorpayGateway:
        """An open account. Raises ConfigurationError."""
        return RazorpayGateway(account)


RAZORPAY: Final = RazorpayFactory()

__all__ = ["RAZORPAY", "RazorpayFactory", "RazorpayGateway"]
