"""Where work leaves the event loop: threads and processes. Imports only the model."""
