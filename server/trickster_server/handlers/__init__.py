"""Answers to the requests and commands of our protocol."""
