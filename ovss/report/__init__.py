"""Report that compares methods: accuracy, cost, categories, confusions, ablations and examples."""
