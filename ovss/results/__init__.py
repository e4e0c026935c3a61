"""Result files, the tables made of them, and reproduction of a recorded evaluation."""
