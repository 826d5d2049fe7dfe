"""The policies of the gateway, compiled from requests and catalogue. Pure."""
