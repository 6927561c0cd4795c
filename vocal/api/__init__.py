"""What the server answers over HTTP and tells over WebSockets, one file for each kind."""

API = "/v1"
