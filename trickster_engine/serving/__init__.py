"""A model behind an address: the OpenAI completions API, on a loop for the clients and a thread for the model."""
