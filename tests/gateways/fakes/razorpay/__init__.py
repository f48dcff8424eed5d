"""Razorpay as far as we use it: a server of its own with its own books, clock and faults."""
