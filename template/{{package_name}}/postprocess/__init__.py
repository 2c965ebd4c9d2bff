"""Turn predictions into products for people: maps, pictures, reports."""
