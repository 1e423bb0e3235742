"""What people are asked, how they answer, and how an answer reaches whoever waits."""
