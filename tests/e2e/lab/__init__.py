"""The laboratory of the end-to-end tests: namespaces, guests, real clients, and the server under test."""
