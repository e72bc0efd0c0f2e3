"""What decisions cost, exactly: the simulator knows how every trial would have ended."""
