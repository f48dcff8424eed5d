"""The background processes: arq wakes them, the database tells them what to do."""
