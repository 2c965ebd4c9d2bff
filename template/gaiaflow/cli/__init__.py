"""The commands of the managers: parse, call, print."""
