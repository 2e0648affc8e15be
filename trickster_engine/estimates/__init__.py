"""What a config costs, worked out without running it: parameters, memory, computation, text. No torch here."""
