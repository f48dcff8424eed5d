"""How each noun becomes rows: columns in one place, values in the same order. For `record`."""
