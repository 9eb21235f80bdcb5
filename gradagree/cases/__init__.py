"""Cases: a network, its arrays and a dtype, reproduced bit for bit from one line of text."""
