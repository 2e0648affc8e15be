"""What the editor can ask about a config: each a function of the document, the services and the request."""
