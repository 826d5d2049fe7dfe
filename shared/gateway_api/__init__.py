"""What Gateway API and its controllers do by themselves. Pure."""
