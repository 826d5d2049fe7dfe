"""One file per remote system, behind the ports of `shared.ports`."""
