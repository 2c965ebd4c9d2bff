"""Update a project to a newer release of Gaiaflow."""
