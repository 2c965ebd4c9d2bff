"""Turn predictions into products that people look at: maps, pictures, reports."""
