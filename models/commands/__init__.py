"""The command line: what parses arguments and prints."""
