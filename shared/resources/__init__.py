"""What is made for teams and for all: desired, actual, and the plan from one to the other. Pure."""
