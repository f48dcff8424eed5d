"""PayPal (REST): orders with vaulted tokens, payments, disputes, reports, webhooks.

docs/gateways-paypal.md says how an account is set up and what was verified by what.
"""

from typing import Final

from app.gateways.base import GatewayFactory
from app.gateways.paypal.gateway import PayPalGateway

PAYPAL: Final[GatewayFactory] = PayPalGateway
