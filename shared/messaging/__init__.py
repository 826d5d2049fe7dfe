"""What travels on Service Bus, and what copies of a message remember. Pure."""
