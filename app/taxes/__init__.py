"""What others know about tax, behind our own words."""
