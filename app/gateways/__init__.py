"""Payment gateways: one contract (base), one HTTP client (http), one file per gateway."""
