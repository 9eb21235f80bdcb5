"""Cases: a network, its arrays and a dtype, made again bit for bit from one line of text."""
