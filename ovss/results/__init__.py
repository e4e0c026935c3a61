"""Result files, comparison tables, and reproduction of recorded evaluations."""
