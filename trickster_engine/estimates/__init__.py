"""What a config costs, without running it: parameters, memory, computation, time. No torch here."""
