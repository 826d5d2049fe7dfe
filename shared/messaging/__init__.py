"""The messages on Service Bus, and the state that their copies carry. Pure."""
