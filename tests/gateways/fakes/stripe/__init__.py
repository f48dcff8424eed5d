"""A Stripe of our own: one process, its own books, and Stripe's habits as its documents tell them.

What is asked of it is judged first by what Stripe publishes (tests/gateways/oracles); what it
answers is judged too. `GET /fake/faults_found` tells of both.
"""
