"""What is said and heard: frozen values, without behaviour of their own."""
