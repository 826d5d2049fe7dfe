"""Local servers that speak the wire protocols of the services Mergekey talks to, so that the real SDKs run on
one machine.
"""
