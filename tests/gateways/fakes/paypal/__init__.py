"""A PayPal of our own: its state, its money, its moods; as a server in a process of its own.

It does what the documentation says that PayPal does. Where that is silent, it does what would hurt
us most. Every request is judged by PayPal's official OpenAPI files and SDK, and so is every answer
of its own; what they object to is refused and kept (`GET /_fake/violations`).
"""
